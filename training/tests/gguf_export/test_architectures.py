"""Every architecture's file, computed by a reader of its own, answers like transformers; with a LoRA file beside it too."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from persona_training.gguf_export.adapter import write_gguf_adapter
from persona_training.gguf_export.architecture import GgufError
from persona_training.gguf_export.quantisation import Quantisation
from persona_training.gguf_export.writing import write_gguf
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from .ggml_reference import GgufModel

SaveModel = Callable[..., Path]
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
TOKENS = list(range(3, 48))
GOLDEN = Path(__file__).with_name("golden_logits.json")
# float32 in another order of summation; the largest seen is 2e-6.
EXACT = 1e-4


@pytest.fixture(scope="module", params=ARCHITECTURES)
def folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, save_random_model: SaveModel
) -> Path:
    """A model folder of each architecture; qwen2 with one table for both ends, qwen3 with heads wider than their share."""
    head = {"qwen2": {}, "qwen3": {"head_dim": 24}}.get(request.param, {"head_dim": 16})
    return save_random_model(
        tmp_path_factory.mktemp(request.param), kind=request.param, tied=request.param == "qwen2", **head
    )


def answers(model: Any, tokens: list[int] = TOKENS) -> np.ndarray:
    with torch.no_grad():
        logits: np.ndarray = model(torch.tensor([tokens])).logits[0].numpy()
    return logits


def load(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def random_adapter(folder: Path, target: Path, **changes: Any) -> Any:
    """A saved adapter with noise in both matrices, and the model that carries it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        config = {"r": 4, "lora_alpha": 12, "target_modules": LINEAR, **changes}
        model = get_peft_model(load(folder), LoraConfig(**config, init_lora_weights=False)).eval()
    model.save_pretrained(str(target), save_embedding_layers=False)
    return model


def test_the_file_answers_like_the_model(folder: Path, tmp_path: Path) -> None:
    path = write_gguf(folder, tmp_path / "m.gguf", name="m", quantisation=Quantisation.F32).path
    reader = GgufModel(path)
    kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    assert reader.architecture == ARCHITECTURES[kind]
    assert np.abs(reader.logits(TOKENS) - answers(load(folder))).max() <= EXACT


@pytest.mark.parametrize("quantisation", [Quantisation.F32, Quantisation.F16])
def test_base_file_and_lora_file_answer_like_the_stack(
    folder: Path, tmp_path: Path, quantisation: Quantisation
) -> None:
    stacked = answers(random_adapter(folder, tmp_path / "lora"))
    base = write_gguf(folder, tmp_path / "m.gguf", name="m", quantisation=Quantisation.F32).path
    written = write_gguf_adapter(tmp_path / "lora", folder, tmp_path / "l.gguf", name="l", quantisation=quantisation)
    assert (written.matrices, written.rank) == (14, 4)
    served = GgufModel(base, (written.path,)).logits(TOKENS)
    assert np.abs(served - stacked).max() <= (EXACT if quantisation is Quantisation.F32 else 2e-2)
    assert np.abs(served - answers(load(folder))).max() > 0.5


def test_two_lora_files_add_up(folder: Path, tmp_path: Path) -> None:
    model = random_adapter(folder, tmp_path / "one")
    random_adapter(folder, tmp_path / "two", r=2, lora_alpha=3, target_modules=["k_proj", "down_proj"])
    stacked = PeftModel.from_pretrained(model.merge_and_unload(), tmp_path / "two")
    base = write_gguf(folder, tmp_path / "m.gguf", name="m", quantisation=Quantisation.F32).path
    files = tuple(
        write_gguf_adapter(tmp_path / name, folder, tmp_path / f"{name}.gguf", name=name).path
        for name in ("one", "two")
    )
    assert np.abs(GgufModel(base, files).logits(TOKENS) - answers(stacked)).max() <= EXACT


def test_rank_stabilised_scaling_is_carried(folder: Path, tmp_path: Path) -> None:
    stacked = answers(random_adapter(folder, tmp_path / "lora", use_rslora=True))
    base = write_gguf(folder, tmp_path / "m.gguf", name="m", quantisation=Quantisation.F32).path
    written = write_gguf_adapter(tmp_path / "lora", folder, tmp_path / "l.gguf", name="l")
    assert np.abs(GgufModel(base, (written.path,)).logits(TOKENS) - stacked).max() <= EXACT


def test_the_row_order_of_lora_b_matters_for_llama(
    tmp_path: Path, save_random_model: SaveModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the tests above: B as peft keeps it would answer otherwise."""
    folder = save_random_model(tmp_path / "llama")
    stacked = answers(random_adapter(folder, tmp_path / "lora", target_modules=["q_proj", "k_proj"]))
    base = write_gguf(folder, tmp_path / "m.gguf", name="m", quantisation=Quantisation.F32).path
    monkeypatch.setattr("persona_training.gguf_export.adapter.to_gguf_order", lambda name, weight, shape: weight)
    wrong = write_gguf_adapter(tmp_path / "lora", folder, tmp_path / "l.gguf", name="l")
    assert np.abs(GgufModel(base, (wrong.path,)).logits(TOKENS) - stacked).max() > 0.1


def counted_weights(kind: str, folder: Path) -> Any:
    """A model whose weights are a formula, the same on every machine and with every version of torch."""
    shape = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = AutoConfig.for_model(
        kind, **shape, head_dim=4, num_hidden_layers=2, vocab_size=24, max_position_embeddings=64, rope_theta=1e4
    )
    config.tie_word_embeddings = False
    if kind == "mistral":
        config.sliding_window = None
    from_config: Any = AutoModelForCausalLM.from_config
    model = from_config(config).float().eval()
    with torch.no_grad():
        for place, (name, parameter) in enumerate(sorted(model.named_parameters())):
            places = torch.arange(parameter.numel(), dtype=torch.float64).reshape(parameter.shape)
            wave = torch.sin(places * 12.9898 + place * 78.233) * 0.4
            parameter.copy_(wave + 1 if "norm" in name else wave)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_golden_logits(kind: str, tmp_path: Path, merged_model: Path) -> None:
    """Kept in a file: a change of transformers, of the reader here or of the writer each shows on its own."""
    golden = np.array(json.loads(GOLDEN.read_text(encoding="utf-8"))[kind])
    model = counted_weights(kind, tmp_path)
    tokens = list(range(12))
    assert np.abs(answers(model, tokens) - golden).max() <= EXACT
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(merged_model / name, tmp_path / name)
    _forget_tokens(tmp_path, 24)
    path = write_gguf(tmp_path, tmp_path / "m.gguf", name="golden", quantisation=Quantisation.F32).path
    assert np.abs(GgufModel(path).logits(tokens) - golden).max() <= EXACT


def _forget_tokens(folder: Path, size: int) -> None:
    """The tokenizer cut down to its first ids, which hold the special tokens."""
    path = folder / "tokenizer.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    raw["model"]["vocab"] = {token: index for token, index in raw["model"]["vocab"].items() if index < size}
    raw["model"]["merges"] = []
    path.write_text(json.dumps(raw), encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern"),
        ({"alpha_pattern": {"q_proj": 2}}, "alpha_pattern"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"lora_bias": True}, "lora_bias"),
    ],
)
def test_other_kinds_of_adapter_are_refused(
    changes: dict[str, Any], message: str, merged_model: Path, tmp_path: Path
) -> None:
    random_adapter(merged_model, tmp_path / "lora", target_modules=["q_proj"])
    config = tmp_path / "lora" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text(encoding="utf-8")) | changes), encoding="utf-8")
    with pytest.raises(GgufError, match=f"{message}.*deploy it merged"):
        write_gguf_adapter(tmp_path / "lora", merged_model, tmp_path / "l.gguf", name="l")
    assert not (tmp_path / "l.gguf").exists()


def test_adapters_of_other_shapes_and_places_are_refused(
    merged_model: Path, tmp_path: Path, save_random_model: SaveModel
) -> None:
    def write(base: Path = merged_model) -> None:
        write_gguf_adapter(tmp_path / "lora", base, tmp_path / "l.gguf", name="l")

    with pytest.raises(GgufError, match="No adapter in"):
        write()
    untied = save_random_model(tmp_path / "untied", tied=False)
    random_adapter(untied, tmp_path / "lora", target_modules=["q_proj", "lm_head"])
    with pytest.raises(GgufError, match=r"adapts lm_head.weight; only q, k, v"):
        write()
    random_adapter(merged_model, tmp_path / "lora", target_modules=["up_proj"])
    with pytest.raises(GgufError, match="another base"):
        write(save_random_model(tmp_path / "wider", intermediate_size=128))
    weights = tmp_path / "lora" / "adapter_model.safetensors"
    tensors = load_file(weights)
    tensors.pop(next(name for name in tensors if "lora_A" in name))
    save_file(tensors, weights)
    with pytest.raises(GgufError, match="only half of"):
        write()
    with pytest.raises(GgufError, match="F32 or F16, not Q8_0"):
        write_gguf_adapter(
            tmp_path / "lora", merged_model, tmp_path / "l.gguf", name="l", quantisation=Quantisation.Q8_0
        )


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("mistral", {"sliding_window": 64}, "sliding_window of 64"),
        ("qwen2", {"sliding_window": 64, "use_sliding_window": True}, "sliding_window of 64"),
        ("qwen3", {"attention_bias": True}, "attention_bias"),
        ("qwen3", {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "qwen3 model uses rope type yarn"),
        ("llama", {"model_type": "qwen3_moe"}, "'qwen3_moe' cannot be written"),
    ],
)
def test_what_an_architecture_cannot_say_is_refused(
    kind: str, changes: dict[str, Any], message: str, tmp_path: Path, save_random_model: SaveModel
) -> None:
    folder = save_random_model(tmp_path / kind, kind=kind)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")
    with pytest.raises(GgufError, match=message):
        write_gguf(folder, tmp_path / "m.gguf", name="m")


def test_a_window_that_is_switched_off_or_wider_than_the_context_is_no_window(
    tmp_path: Path, save_random_model: SaveModel
) -> None:
    for number, changes in enumerate(({"sliding_window": 64, "use_sliding_window": False}, {"sliding_window": 128})):
        folder = save_random_model(tmp_path / str(number), kind="qwen2")
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")
        assert write_gguf(folder, tmp_path / f"{number}.gguf", name="m").size > 0
