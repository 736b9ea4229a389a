"""What cannot be carried is refused by name, and nothing half-written stays behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
from persona_training.gguf_export.adapter import write_gguf_adapter
from persona_training.gguf_export.architecture import GgufError
from persona_training.gguf_export.quantisation import Quantisation
from persona_training.gguf_export.writing import read_back, write_gguf, written_whole
from safetensors.torch import load_file, save_file

Change = Callable[[dict[str, Any]], object]


def _edit(path: Path, change: Change) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def folder(merged_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(merged_model, tmp_path / "model"))


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("config.json", lambda c: c.update(model_type="gemma2"), "'gemma2'"),
        ("config.json", lambda c: c.update(model_type="mixtral"), "'mixtral'.*qwen3 can"),
        ("config.json", lambda c: c.update(attention_bias=True), "attention_bias"),
        ("config.json", lambda c: c.update(mlp_bias=True), "mlp_bias"),
        ("config.json", lambda c: c.update(hidden_act="gelu"), "gelu"),
        ("config.json", lambda c: c.update(quantization_config={"bits": 4}), "quantization_config"),
        ("config.json", lambda c: c.update(rope_parameters={"rope_type": "llama3"}), "llama3 without 'factor'"),
        ("config.json", lambda c: c.update(rope_parameters={"rope_type": "yarn", "factor": 2.0}), "yarn"),
        ("config.json", lambda c: c.update(rope_scaling={"type": "linear", "factor": 2.0}), "linear"),
        ("config.json", lambda c: c.update(vocab_size=100), "only 100 rows"),
        ("config.json", lambda c: c.pop("vocab_size"), "does not describe a whole model"),
        ("config.json", lambda c: c.update(hidden_size="wide"), "does not describe a whole model"),
        ("tokenizer.json", lambda c: c.pop("model"), "holds no tokenizer"),
        ("config.json", lambda c: c.update(num_hidden_layers=3), "missing model.layers.2"),
        ("tokenizer.json", lambda c: c["model"].update(type="Unigram"), "Unigram"),
        ("tokenizer.json", lambda c: c["model"].update(byte_fallback=True), "falls back to bytes"),
        ("tokenizer.json", lambda c: c.update(pre_tokenizer={"type": "Metaspace"}), "byte-level"),
        ("tokenizer.json", lambda c: c.update(normalizer={"type": "NFKC"}), "NFKC"),
        ("tokenizer_config.json", lambda c: c.pop("eos_token"), "no end token"),
    ],
)
def test_refused_by_name(folder: Path, file: str, change: Change, message: str) -> None:
    _edit(folder / file, change)
    with pytest.raises(GgufError, match=message):
        write_gguf(folder, folder / "m.gguf", name="refused")
    assert not (folder / "m.gguf").exists()


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors", "chat_template.jinja"])
def test_an_incomplete_folder_says_what_is_missing(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(GgufError, match=missing.partition(".")[0].replace("chat_template", "chat template")):
        write_gguf(folder, folder / "m.gguf", name="incomplete")


@pytest.mark.parametrize(
    ("value", "quantisation", "message"),
    [(float("nan"), Quantisation.Q8_0, "NaN or infinity"), (1e6, Quantisation.F16, "does not fit F16")],
)
def test_broken_weights_are_refused(folder: Path, value: float, quantisation: Quantisation, message: str) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"][0, 0] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(GgufError, match=message):
        write_gguf(folder, folder / "m.gguf", name="broken", quantisation=quantisation)
    assert not list(folder.glob("*m.gguf*"))


def test_two_who_write_one_file_do_not_write_into_each_other(tmp_path: Path) -> None:
    target = tmp_path / "m.gguf"
    with written_whole(target, "llama") as first, written_whole(target, "llama") as second:
        for writer, name in ((first, "first"), (second, "second")):
            writer.add_name(name)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
    field = gguf.GGUFReader(target).get_field("general.name")
    assert field is not None
    assert field.contents() == "first"  # the last to end
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"[]", b"\xff{"])
def test_a_damaged_file_is_named(folder: Path, file: str, content: bytes) -> None:
    (folder / file).write_bytes(content)
    with pytest.raises(GgufError, match=file):
        write_gguf(folder, folder / "m.gguf", name="damaged")
    assert not list(folder.glob("*m.gguf*"))


@pytest.mark.parametrize(
    ("config", "weights"),
    [("{", None), ("[]", None), ('{"r": 0, "lora_alpha": 4}', None), ('{"r": 4, "lora_alpha": 4}', b"cut off")],
)
def test_a_damaged_adapter_is_named(folder: Path, tmp_path: Path, config: str, weights: bytes | None) -> None:
    (tmp_path / "adapter_config.json").write_text(config, encoding="utf-8")
    (tmp_path / "adapter_model.safetensors").write_bytes(weights or b"")
    with pytest.raises(GgufError, match="adapter_model" if weights else "adapter_config"):
        write_gguf_adapter(tmp_path, folder, tmp_path / "lora.gguf", name="damaged")


def test_an_unmerged_adapter_beside_the_weights_is_noticed(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.self_attn.q_proj.lora_A.weight"] = weights["model.norm.weight"].clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(GgufError, match="merge the adapters first"):
        write_gguf(folder, folder / "m.gguf", name="unmerged")


def test_a_file_that_was_cut_short_is_named_wherever_it_ends(merged_model: Path, tmp_path: Path) -> None:
    path = write_gguf(merged_model, tmp_path / "m.gguf", name="cut").path
    whole = path.read_bytes()
    assert read_back(path).size == len(whole)
    for length in (0, 3, 24, *range(30, 3000, 61), len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(GgufError, match=r"no complete GGUF file.*Delete it"):
            read_back(path)
