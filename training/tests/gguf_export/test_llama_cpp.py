"""llama.cpp itself reads the files: logits, layers and tokens against transformers. Opt-in: it needs llama-cpp-python."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from persona_training.gguf_export.adapter import write_gguf_adapter
from persona_training.gguf_export.k_quants import KQuant, write_model
from persona_training.gguf_export.quantisation import Quantisation
from persona_training.gguf_export.writing import write_gguf
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from .test_sentencepiece import save as save_sentencepiece
from .test_sentencepiece import tokenizer_json

pytestmark = pytest.mark.opt_in

SaveModel = Callable[..., Path]
TOKENS = list(range(3, 48))
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
TEXTS = [
    "*suspiro* ¿Qué quieres, mortal?",
    "1234567890 €→✓",
    "emoji 🎮🐈‍⬛\n\ty  espacios",
    "<|im_start|>user\nhola<|im_end|>\n",
]


@pytest.fixture(autouse=True)
def _llama_cpp() -> None:
    if importlib.util.find_spec("llama_cpp") is None:
        pytest.skip("needs the package llama-cpp-python (it is compiled on installing: about ten minutes)")


def opened(path: Path, lora: Path | None = None) -> Any:
    import llama_cpp

    return llama_cpp.Llama(
        model_path=str(path),
        lora_path=None if lora is None else str(lora),
        n_ctx=64,
        n_threads=1,
        logits_all=True,
        type_k=llama_cpp.GGML_TYPE_F32,
        type_v=llama_cpp.GGML_TYPE_F32,
        verbose=False,
    )


def logits(model: Any) -> np.ndarray:
    model.eval(TOKENS)
    return np.array(model.scores[: len(TOKENS)])


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
def test_logits_with_and_without_layers(kind: str, tmp_path: Path, save_random_model: SaveModel) -> None:
    folder = save_random_model(tmp_path / kind, kind=kind)
    base = write_gguf(folder, tmp_path / "m.gguf", name="m", quantisation=Quantisation.F32).path
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        expected = plain(torch.tensor([TOKENS])).logits[0].numpy()
        assert np.abs(logits(opened(base)) - expected).max() < 1e-4
        lora = LoraConfig(r=4, lora_alpha=12, target_modules=LINEAR, init_lora_weights=False)
        stacked = get_peft_model(plain, lora).eval()
        stacked.save_pretrained(str(tmp_path / "lora"))
        expected = stacked(torch.tensor([TOKENS])).logits[0].numpy()
    layers = write_gguf_adapter(tmp_path / "lora", folder, tmp_path / "l.gguf", name="l").path
    assert np.abs(logits(opened(base, layers)) - expected).max() < 1e-4


@pytest.mark.parametrize("text", TEXTS)
def test_tokens(text: str, merged_model: Path, tmp_path: Path) -> None:
    model = opened(write_gguf(merged_model, tmp_path / "m.gguf", name="m").path)
    ours = AutoTokenizer.from_pretrained(merged_model)(text, add_special_tokens=False)["input_ids"]
    assert model.tokenize(text.encode(), add_bos=False, special=True) == ours


@pytest.mark.parametrize(
    "text", ["hola. ¿qué quieres, mortal?", "comunicación", "  dos", "emoji 🎮", "mortalmortal", "x"]
)
def test_sentencepiece_tokens(text: str, tmp_path: Path, save_random_model: SaveModel) -> None:
    folder = save_sentencepiece(tmp_path / "m", tokenizer_json(), save_random_model)
    model = opened(write_gguf(folder, tmp_path / "m.gguf", name="m").path)
    ours = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text, add_special_tokens=False).ids
    assert model.tokenize(text.encode(), add_bos=False, special=True) == ours


@pytest.mark.parametrize("kind", list(KQuant), ids=str)
def test_k_quants_keep_the_answers(kind: KQuant, tmp_path: Path, save_random_model: SaveModel) -> None:
    """The divergence of the next token's distribution from the unquantised model's, in nats, mean over the positions."""
    folder = save_random_model(tmp_path / "wide", hidden_size=256, intermediate_size=512, head_dim=64)
    exact = write_gguf(folder, tmp_path / "m.gguf", name="m", quantisation=Quantisation.F32).path
    small = write_model(folder, tmp_path / "k.gguf", name="k", storage=kind).path
    p, q = (torch.log_softmax(torch.from_numpy(logits(opened(path))), dim=-1) for path in (exact, small))
    assert 0 < (p.exp() * (p - q)).sum(-1).mean() < 0.01
    assert small.stat().st_size < exact.stat().st_size / 2
