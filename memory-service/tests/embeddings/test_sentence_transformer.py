"""The packaged model, and the models that cannot be had."""

import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
from memory_service.embeddings import sentence_transformer
from memory_service.embeddings.embedder import EmbedderUnavailable, checked
from memory_service.embeddings.sentence_transformer import SentenceTransformerEmbedder, load


def test_the_packaged_model_makes_vectors_of_length_one(minilm: SentenceTransformerEmbedder) -> None:
    vectors = minilm.embed(["I have a cat", "Do I own a pet?", "The borrow checker hates me", ""], "memory")
    assert (minilm.name, minilm.dimension, len(minilm.revision)) == ("packaged:all-minilm-l6-v2", 384, 16)
    assert vectors.dtype == np.float32
    assert vectors.shape == (4, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_the_same_text_has_the_same_vector(minilm: SentenceTransformerEmbedder) -> None:
    alone, beside = minilm.embed(["un gato"], "question"), minilm.embed(["un gato", "otra cosa " * 40], "memory")
    assert alone[0] == pytest.approx(beside[0], abs=1e-5)


def test_a_folder_with_the_same_files_is_the_same_model(minilm: SentenceTransformerEmbedder, tmp_path: Path) -> None:
    folder = sentence_transformer._local_folder(minilm.name)
    assert folder is not None
    (tmp_path / "copy").symlink_to(folder)
    copied = load(str(tmp_path / "copy"), 1)
    assert (copied.revision, copied.dimension) == (minilm.revision, minilm.dimension)


def test_e5_models_get_the_words_they_were_trained_with() -> None:
    class Model:
        prompts: dict[str, str] = {"query": "", "document": ""}  # noqa: RUF012

        def get_embedding_dimension(self) -> int:
            return 2

        def encode(self, texts: list[str], *, prompt: str | None, **_: object) -> list[list[float]]:
            self.prompt = prompt
            return [[0.0, 1.0] for _ in texts]

    model = Model()
    e5 = SentenceTransformerEmbedder("intfloat/multilingual-e5-small", "", model)
    e5.embed(["¿y?"], "question")
    assert model.prompt == "query: "
    e5.embed(["¿y?"], "memory")
    assert model.prompt == "passage: "


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("packaged:all-minilm-l6-v9", ["not known", "packaged:all-minilm-l6-v2"]),
        ("/nowhere/at/all", ["no folder on this machine", "Correct the path"]),
        ("./nowhere", ["no folder on this machine"]),
        ("casiopy-tests/no-such-model", ["could not be fetched", "network", "packaged:all-minilm-l6-v2"]),
    ],
)
@pytest.mark.usefixtures("minilm")
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


@pytest.mark.usefixtures("minilm")
def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(EmbedderUnavailable, match="holds no model"):
        load(str(tmp_path), 1)


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        sentence_transformer._PACKAGED, "packaged:other", ("no_such_module", "model", "no-such-package")
    )
    with pytest.raises(EmbedderUnavailable, match=r"no-such-package, which is not installed\. Install it with `pip"):
        load("packaged:other", 1)


@pytest.mark.parametrize("vectors", [np.ones((1, 3), np.float32), np.full((2, 2), np.nan, np.float32)])
def test_vectors_that_break_the_promise_are_refused(vectors: np.ndarray) -> None:
    with pytest.raises(ValueError, match="vector"):
        checked(vectors, ["one", "two"], 2)


def test_the_service_starts_without_the_heavy_libraries() -> None:
    program = "import sys, memory_service.app; print({'torch', 'sklearn', 'sentence_transformers'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
