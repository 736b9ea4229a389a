"""Files that a power cut, a full disk or a person left damaged are named, each with what to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from persona_training.adapters import adapters_in, config_of, read_adapter
from persona_training.backends.lora import check_target_modules
from persona_training.bases import find_base
from persona_training.errors import AdapterError, BaseModelError, StorageError
from persona_training.evaluation.kept_replies import open_kept
from persona_training.evaluation.system_prompt import trained_without
from persona_training.models import load_base, load_tokenizer
from persona_training.ollama.ledger import Entry, entries, record
from persona_training.parents import louder_than_parent
from persona_training.run_folder import RunFolder, read_state
from persona_training.run_manifest import resumed_request
from persona_training.smoke import smoke_recipe
from persona_training.testing import small_recipe
from persona_training.tiny.build import TinyRecipe, tiny_model
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

SOUND: dict[str, Any] = {
    "schema": "casiopy/adapter-v1",
    "adapter_id": "personality-20260101T000000",
    "layer": 1,
    "status": "finished",
    "created_at": "2026-01-01T00:00:00Z",
    "week": None,
    "base_model": {"name": "base", "sha256": "c" * 64},
    "recipe": {"name": "x", "config": {}},
    "parent": None,
    "weights": {"file": "w", "sha256": "b" * 64},
}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in SOUND.items() if key != name}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / str(SOUND["adapter_id"])
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("manifest", "damaged"),
    [
        *((without(name), name) for name in ("adapter_id", "status", "layer", "base_model", "parent", "weights")),
        (SOUND | {"recipe": {"name": "x"}}, "recipe"),
        (SOUND | {"weights": None}, "weights"),
        (SOUND | {"weights": {"file": 5, "sha256": "b" * 64}}, "weights"),
        (SOUND | {"parent": "personality-20250101T000000"}, "parent"),
        (SOUND | {"base_model": {"name": "base"}}, "base_model"),
    ],
)
def test_a_manifest_that_lacks_something_says_what(manifest: object, damaged: str, folder: Path) -> None:
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(AdapterError, match=rf"manifest\.json lacks a usable {damaged}\. Restore it"):
        read_adapter(folder)


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "[]", '{"schema": 5}'])
def test_what_is_no_manifest_stops_nobody_who_looks_for_another(
    text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(AdapterError):
        read_adapter(folder)
    assert list(adapters_in(folder.parent)) == []
    assert folder.name in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["recipe", "dataset", "replay"])
def test_a_run_whose_manifest_does_not_say_its_request_is_not_resumed(missing: str) -> None:
    recipe = {
        "name": "x",
        "layer": 1,
        "base_model": "tiny",
        "lora": {"r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "target_modules": ["q_proj"]},
        "steps": {"batch_size": 2, "learning_rate": 0.1},
    }
    manifest = SOUND | {"recipe": {"config": recipe}, "dataset": {"source": ["rows.jsonl"]}, "replay": []}
    assert resumed_request(manifest).dataset == ["rows.jsonl"]
    del manifest[missing]
    with pytest.raises(AdapterError, match=rf"damaged \(KeyError\('{missing}'\)\)\. Start a new run"):
        resumed_request(manifest)


@pytest.mark.parametrize(
    "state",
    [
        [],
        {"status": "running", "pid": "many", "heartbeat_at": "2026-01-01T00:00:00Z"},
        {"status": "running", "pid": 1, "heartbeat_at": 5},
    ],
)
def test_a_state_that_says_nothing_is_no_state(state: object, folder: Path) -> None:
    (folder / "run.json").write_text(json.dumps(state), encoding="utf-8")
    assert read_state(folder) is None


def test_a_heartbeat_without_a_time_zone_is_old(folder: Path) -> None:
    state = {"status": "running", "pid": 1, "heartbeat_at": "2020-01-01T00:00:00"}
    (folder / "run.json").write_text(json.dumps(state), encoding="utf-8")
    found = read_state(folder)
    assert found is not None
    assert not found.alive


def test_a_damaged_curve_names_its_file(folder: Path) -> None:
    (folder / "metrics.jsonl").write_bytes(b'{"step": 1}\n\0\0\0\0\n{"step": 2}\n{"st')
    with pytest.raises(StorageError, match=r"metrics\.jsonl is damaged .*Delete the lines that are not JSON"):
        RunFolder(folder, folder.name).metrics()
    (folder / "metrics.jsonl").write_bytes(b'{"step": 1}\n{"step": 2}\n{"st')
    assert [line["step"] for line in RunFolder(folder, folder.name).metrics()] == [1, 2]


@pytest.mark.parametrize("kept", [b'{"a": ', b"[]", b"\xff"])
def test_a_cache_of_hashes_that_was_cut_off_is_made_anew(kept: bytes, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}", encoding="utf-8")
    (base / "model.safetensors").write_bytes(b"weights")
    cache = tmp_path / "base_hashes.json"
    cache.write_bytes(kept)
    found = find_base(str(base), tmp_path)
    assert list(json.loads(cache.read_text("utf-8")).values()) == [found.sha256]
    with pytest.raises(StorageError, match="CASIOPY_DATA"):
        find_base(str(base), base / "config.json")


def test_a_tiny_model_that_finds_no_room_or_another_builder_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = TinyRecipe(steps=1)
    folder = tmp_path / "tiny" / recipe.name

    def full(*_: object) -> float:
        raise OSError(28, "No space left on device")

    def overtaken(*_: object) -> float:
        folder.mkdir()
        (folder / "config.json").write_text("{}", encoding="utf-8")
        return 0.0

    monkeypatch.setattr("persona_training.tiny.build.build_tiny_model", full)
    with pytest.raises(BaseModelError, match=r"No space left on device.*CASIOPY_DATA"):
        tiny_model(tmp_path, recipe)
    monkeypatch.setattr("persona_training.tiny.build.build_tiny_model", overtaken)
    assert tiny_model(tmp_path, recipe) == folder
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def damaged_base(folder: Path, change: Callable[[dict[str, torch.Tensor]], object] | None) -> Path:
    """A Llama of one layer whose weights were changed, or cut off."""
    shape = {"vocab_size": 16, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    config = LlamaConfig(**shape, num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=16)
    LlamaForCausalLM(config).save_pretrained(folder)
    file = folder / "model.safetensors"
    if change is None:
        file.write_bytes(file.read_bytes()[:-10])
        return folder
    weights = load_file(file)
    change(weights)
    save_file(weights, file, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, "cannot be loaded"),
        (lambda weights: weights.pop("model.layers.0.mlp.up_proj.weight"), "lacks 1 of its weights .*up_proj"),
        (lambda weights: weights.pop("lm_head.weight"), "lacks 1 of its weights .*lm_head"),
        (lambda weights: weights.update({"lm_head.weight": torch.zeros(3, 8)}), "cannot be loaded"),
    ],
)
def test_a_base_that_is_not_whole_is_refused(change: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match=message):
        load_base(damaged_base(tmp_path, change), torch.float32)


def test_a_shape_that_is_none_is_refused(tmp_path: Path) -> None:
    base = damaged_base(tmp_path, lambda weights: weights)
    shape = json.loads((base / "config.json").read_text("utf-8"))
    for change in ({"num_attention_heads": 0}, {"rope_parameters": {"rope_type": "llama3"}}):
        (base / "config.json").write_text(json.dumps(shape | change), encoding="utf-8")
        with pytest.raises(BaseModelError, match="cannot be loaded"):
            check_target_modules(small_recipe(base), base)


@pytest.mark.parametrize("content", ["{", "[]", '{"version": "1.0"}'])
def test_a_damaged_tokenizer_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(content, encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}', encoding="utf-8")
    with pytest.raises(BaseModelError, match="No usable tokenizer"):
        load_tokenizer(tmp_path)


def test_a_whole_base_with_tied_embeddings_is_whole(tmp_path: Path) -> None:
    shape = {"vocab_size": 16, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    config = LlamaConfig(**shape, num_attention_heads=2, max_position_embeddings=16, tie_word_embeddings=True)
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    assert load_base(tmp_path, torch.float32).num_parameters() > 0


@contextmanager
def room_for(path: Path, more: int) -> Iterator[None]:
    """The disk takes so many bytes more of a file, and no more."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_kept_replies_that_a_full_disk_takes_half_of_are_named_and_not_kept(tmp_path: Path) -> None:
    def speak() -> Any:
        raise AssertionError

    voice = open_kept(tmp_path, "she", {"who": "she"}, speak)
    voice.once("p", lambda: [1])
    with room_for(voice.path, 10), pytest.raises(StorageError, match="Free some space"):
        voice.once("q", lambda: [2])
    voice.once("r", lambda: [3])
    assert set(open_kept(tmp_path, "she", {"who": "she"}, speak).kept) == {"p", "r"}


def test_a_deployment_that_a_full_disk_takes_half_of_damages_no_other(tmp_path: Path) -> None:
    entry = Entry("deploy", "c:week05", "c:latest", "d", "a", "w", "g", "r", None, None, "here", "2026-02-01T12:00:00Z")
    record(tmp_path, entry)
    with room_for(tmp_path / "deployments.jsonl", 10), pytest.raises(StorageError, match="Live, but"):
        record(tmp_path, entry)
    record(tmp_path, entry)
    assert len(entries(tmp_path)) == 2


@pytest.mark.parametrize("line", ["5", "[]", "null"])
def test_a_ledger_line_that_is_no_entry_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "deployments.jsonl").write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(StorageError, match="a line is no JSON object"):
        entries(tmp_path)


def test_an_adapter_of_other_origin_need_not_name_a_recipe(folder: Path) -> None:
    (folder / "manifest.json").write_text(json.dumps(without("recipe")), encoding="utf-8")
    manifest = read_adapter(folder)
    assert config_of(manifest) == {}
    assert not trained_without(manifest)
    assert louder_than_parent(smoke_recipe(folder), manifest) == []
