"""Which library runs a model, and the models that cannot be had."""

import importlib.metadata
import importlib.util
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
from memory_service.embeddings import model_folder
from memory_service.embeddings.embedder import EmbedderUnavailable, checked
from memory_service.embeddings.loading import load
from memory_service.embeddings.openvino_model import OpenVinoEmbedder
from memory_service.embeddings.sentence_transformer import SentenceTransformerEmbedder


@pytest.fixture
def folder() -> Path:
    """The packaged model's folder."""
    found = model_folder.local_folder("packaged:all-minilm-l6-v2")
    assert found is not None
    return found


def test_a_folder_with_the_same_files_is_the_same_model(minilm: OpenVinoEmbedder, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").symlink_to(folder)
    copied = load(str(tmp_path / "copy"), 1)
    assert (copied.revision, copied.dimension) == (minilm.revision, minilm.dimension)


def test_the_log_says_which_library_runs_the_model(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        load("packaged:all-minilm-l6-v2", 1)
    assert "on OpenVINO" in caplog.text


def test_what_is_not_understood_goes_to_sentence_transformers_and_says_so(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    pooling = copy / "1_Pooling" / "config.json"
    pooling.write_text(json.dumps({"word_embedding_dimension": 384, "pooling_mode_max_tokens": True}))
    with caplog.at_level(logging.INFO):
        loaded = load(str(copy), 1)
    assert isinstance(loaded, SentenceTransformerEmbedder)
    assert "not OpenVINO: its pooling is max" in loaded.engine
    assert loaded.engine in caplog.text
    assert loaded.embed(["un gato"], "memory").shape == (1, 384)


def test_a_model_fetched_before_runs_at_its_commit(
    minilm: OpenVinoEmbedder, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
    repository = tmp_path / "models--sentence-transformers--all-MiniLM-L6-v2"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    (repository / "snapshots").mkdir()
    (repository / "snapshots" / commit).symlink_to(folder)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    for setting in ("sentence-transformers/all-MiniLM-L6-v2", "all-MiniLM-L6-v2"):
        loaded = load(setting, 1)
        assert isinstance(loaded, OpenVinoEmbedder)
        assert (loaded.name, loaded.revision) == (setting, commit)
        assert loaded.embed(["un gato"], "memory") == pytest.approx(minilm.embed(["un gato"], "memory"))


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("packaged:all-minilm-l6-v9", ["not known", "packaged:all-minilm-l6-v2"]),
        ("/nowhere/at/all", ["no folder on this machine", "Correct the path"]),
        ("./nowhere", ["no folder on this machine"]),
        ("casiopy-tests/no-such-model", ["could not be fetched", "network", "packaged:all-minilm-l6-v2"]),
    ],
)
@pytest.mark.usefixtures("reference")
def test_a_model_that_cannot_be_had_says_why_and_what_to_do(
    setting: str, says: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The hub's client reads its environment once, and other tests may have imported it: tell it here to stay offline.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(EmbedderUnavailable) as refused:
        load(setting, 1)
    assert f"EMBEDDING_MODEL={setting}" in str(refused.value)
    for words in says:
        assert words in str(refused.value)


@pytest.mark.usefixtures("reference")
def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(EmbedderUnavailable, match="holds no model"):
        load(str(tmp_path), 1)


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(model_folder._PACKAGED, "packaged:other", ("no_such_module", "model", "no-such-package"))
    with pytest.raises(EmbedderUnavailable, match=r"no-such-package, which is not installed\. Install it with `pip"):
        load("packaged:other", 1)


def test_without_openvino_the_reason_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openvino" else found(name))
    loaded = load("packaged:all-minilm-l6-v2", 1)
    assert "openvino is not installed. Install it with `pip install 'casiopy-memory-service[embed]'`" in loaded.engine


@pytest.mark.parametrize("vectors", [np.ones((1, 3), np.float32), np.full((2, 2), np.nan, np.float32)])
def test_vectors_that_break_the_promise_are_refused(vectors: np.ndarray) -> None:
    with pytest.raises(ValueError, match="vector"):
        checked(vectors, ["one", "two"], 2)


def test_openvino_tells_nobody_that_it_was_started(tmp_path: Path) -> None:
    """Its telemetry is installed with it, sends at its import and leaves an id in the home folder."""
    assert importlib.metadata.version("openvino-telemetry")
    program = (
        "import sys\n"
        "from memory_service.embeddings.loading import load\n"
        "print(load('packaged:all-minilm-l6-v2', 1).engine)\n"
        "print(sorted(name for name in sys.modules if name.startswith('openvino_telemetry.')))"
    )
    home = {"HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ | home
    )
    engine, loaded = ran.stdout.splitlines()
    assert (engine.split()[0], loaded) == ("OpenVINO", "[]")
    assert not list(tmp_path.iterdir())


def test_the_service_starts_and_embeds_without_the_heavy_libraries() -> None:
    program = (
        "import sys, memory_service.app\n"
        "print(sorted({'torch', 'sklearn', 'sentence_transformers', 'openvino'} & set(sys.modules)))\n"
        "from memory_service.embeddings.loading import load\n"
        "load('packaged:all-minilm-l6-v2', 1).embed(['un gato'], 'memory')\n"
        "print(sorted({'torch', 'sentence_transformers', 'transformers'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split("\n")[:2] == ["[]", "[]"]
