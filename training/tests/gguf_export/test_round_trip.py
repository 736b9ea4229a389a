"""What is written is what was trained: every tensor, every token, every logit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from persona_training.gguf_export.architecture import read_shape, tensor_names, to_gguf_order
from persona_training.gguf_export.quantisation import Quantisation
from persona_training.gguf_export.vocabulary import SPLITS
from persona_training.gguf_export.writing import write_gguf
from transformers import AutoModelForCausalLM, AutoTokenizer

SaveModel = Callable[..., Path]

# Largest weight error by storage: F16 keeps 11 bits, Q8_0 rounds to 1/127 of the largest of 32 neighbours (weights here
# stay below 0.12, norms are F32).
WEIGHT_ERROR = {Quantisation.F32: 0.0, Quantisation.F16: 6e-5, Quantisation.Q8_0: 6e-4}
LOGIT_ERROR = {Quantisation.F32: 1e-6, Quantisation.F16: 2e-3, Quantisation.Q8_0: 3e-2}


@pytest.fixture(scope="module", params=list(Quantisation), ids=str)
def written(request: pytest.FixtureRequest, merged_model: Path) -> tuple[Quantisation, Path]:
    path = merged_model / f"{request.param}.gguf"
    write_gguf(merged_model, path, name="round trip", quantisation=request.param)
    return request.param, path


def test_every_tensor_reads_back_as_the_weight_it_came_from(
    written: tuple[Quantisation, Path], merged_model: Path
) -> None:
    quantisation, path = written
    shape = read_shape(merged_model)
    weights = AutoModelForCausalLM.from_pretrained(merged_model).state_dict()
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    names = tensor_names(shape)
    assert set(stored) == set(names.values())
    for ours, theirs in names.items():
        tensor = stored[theirs]
        read = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        original = weights[ours].float().numpy()
        error = np.abs(read.reshape(original.shape) - to_gguf_order(ours, original, shape)).max()
        assert error <= WEIGHT_ERROR[quantisation], f"{ours}: {error}"


def test_the_file_answers_like_the_model(written: tuple[Quantisation, Path], merged_model: Path) -> None:
    quantisation, path = written
    tokens = torch.arange(3, 100)[None]
    with torch.no_grad():
        expected = AutoModelForCausalLM.from_pretrained(merged_model)(tokens).logits
        reread = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
        actual = reread(tokens).logits
    assert (expected - actual).abs().max() <= LOGIT_ERROR[quantisation]


def test_the_row_order_of_q_matters(merged_model: Path) -> None:
    """Guards the two tests above: an unpermuted file would not pass them by luck."""
    shape = read_shape(merged_model)
    name = "model.layers.0.self_attn.q_proj.weight"
    weight = np.arange(64 * 64, dtype=np.float32).reshape(64, 64)
    moved = to_gguf_order(name, weight, shape)
    assert not np.array_equal(moved, weight)
    assert np.array_equal(moved[0::2][:8], weight[:8])
    assert np.array_equal(moved[1], weight[8])  # head_dim 16: row 0 of the second half becomes row 1


@pytest.mark.parametrize(
    "text",
    [
        "*suspiro* ¿Qué quieres ahora, mortal? ¡No me mires así!",
        "números 1234567890, símbolos €→✓ y ñandúes",
        "emoji 🎮🐈‍⬛ y  dobles   espacios\n\ty saltos\n",
        "<|im_start|>user\nhola<|im_end|>\n",
        "",
    ],
)
def test_the_tokens_are_the_same(merged_model: Path, text: str) -> None:
    path = merged_model / "tokens.gguf"
    write_gguf(merged_model, path, name="tokens", quantisation=Quantisation.F16)
    ours = AutoTokenizer.from_pretrained(merged_model)
    theirs = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    assert theirs(text, add_special_tokens=False)["input_ids"] == ours(text, add_special_tokens=False)["input_ids"]


def test_tokens_merges_and_stops_are_in_the_file(merged_model: Path) -> None:
    path = merged_model / "fields.gguf"
    write_gguf(merged_model, path, name="fields", quantisation=Quantisation.F16)
    reader = gguf.GGUFReader(path)
    tokenizer = AutoTokenizer.from_pretrained(merged_model)

    def field(name: str) -> object:
        found = reader.get_field(name)
        assert found is not None, name
        return found.contents()

    vocabulary = tokenizer.get_vocab()
    assert field("tokenizer.ggml.tokens") == sorted(vocabulary, key=vocabulary.__getitem__)
    assert field("tokenizer.ggml.pre") == "gpt-2"
    assert field("tokenizer.ggml.eos_token_id") == tokenizer.eos_token_id
    assert field("tokenizer.ggml.add_bos_token") is False
    types = field("tokenizer.ggml.token_type")
    assert isinstance(types, list)
    controls = [index for index, kind in enumerate(types) if kind == gguf.TokenType.CONTROL]
    assert controls == sorted(vocabulary[token] for token in ("<|pad|>", "<|im_start|>", "<|im_end|>"))
    assert field("llama.rope.dimension_count") == 16
    assert field("llama.attention.head_count_kv") == 2


def test_an_untied_head_and_a_padded_vocabulary_travel_too(tmp_path: Path, save_random_model: SaveModel) -> None:
    folder = save_random_model(tmp_path / "untied", tied=False, vocabulary_padding=5, rope_theta=500_000.0)
    written = write_gguf(folder, tmp_path / "untied" / "m.gguf", name="untied", quantisation=Quantisation.F32)
    tokens = torch.arange(3, 60)[None]
    with torch.no_grad():
        expected = AutoModelForCausalLM.from_pretrained(folder)(tokens).logits
        actual = AutoModelForCausalLM.from_pretrained(folder, gguf_file="m.gguf", dtype=torch.float32)(tokens).logits
    assert torch.allclose(expected, actual, atol=1e-6)
    assert written.tensors == {"F32": 21}
    last = gguf.GGUFReader(written.path).get_field("tokenizer.ggml.token_type")
    assert last is not None
    assert last.contents()[-1] == gguf.TokenType.UNUSED


def test_a_tensor_whose_rows_do_not_fit_the_block_is_kept_in_f16(tmp_path: Path, save_random_model: SaveModel) -> None:
    folder = save_random_model(tmp_path / "odd", head_dim=12)  # o_proj has rows of 48
    written = write_gguf(folder, tmp_path / "odd" / "m.gguf", name="odd", quantisation=Quantisation.Q8_0)
    assert written.tensors == {"Q8_0": 13, "F16": 2, "F32": 5}


LLAMA_3_1 = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def test_llama_3_1_frequencies_are_what_transformers_turns_by(tmp_path: Path, save_random_model: SaveModel) -> None:
    folder = save_random_model(tmp_path / "llama31", head_dim=32, rope_parameters=LLAMA_3_1)
    written = write_gguf(folder, tmp_path / "llama31" / "m.gguf", name="llama31", quantisation=Quantisation.Q8_0)
    model = AutoModelForCausalLM.from_pretrained(folder)
    stretched = model.model.rotary_emb.inv_freq.numpy()
    plain = 1.0 / 500_000.0 ** (np.arange(0, 32, 2) / 32)
    (factors,) = (tensor.data for tensor in gguf.GGUFReader(written.path).tensors if tensor.name == "rope_freqs.weight")
    np.testing.assert_allclose(plain / factors, stretched, rtol=1e-5)
    assert factors[0] == 1.0
    assert factors[-1] == pytest.approx(8.0)
    assert written.tensors == {"Q8_0": 15, "F32": 6}


def test_a_llama_3_tokenizer_is_named_and_adds_its_first_token(tmp_path: Path, save_random_model: SaveModel) -> None:
    """Cut as Llama 3 cuts, with a first token that the tokenizer adds by itself."""
    folder = save_random_model(tmp_path / "llama3")
    path = folder / "tokenizer.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    split = next(pattern for pattern, name in SPLITS.items() if name == "llama-bpe")
    raw["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": split}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        ],
    }
    first = raw["model"]["vocab"]["<|pad|>"]
    raw["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|pad|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<|pad|>": {"id": "<|pad|>", "ids": [first], "tokens": ["<|pad|>"]}},
    }
    path.write_text(json.dumps(raw), encoding="utf-8")
    config = folder / "tokenizer_config.json"
    config.write_text(
        json.dumps(json.loads(config.read_text(encoding="utf-8")) | {"bos_token": "<|pad|>"}), encoding="utf-8"
    )
    reader = gguf.GGUFReader(write_gguf(folder, folder / "m.gguf", name="llama3").path)
    fields = {name: reader.get_field(f"tokenizer.ggml.{name}") for name in ("pre", "bos_token_id", "add_bos_token")}
    assert {name: field.contents() for name, field in fields.items() if field} == {
        "pre": "llama-bpe",
        "bos_token_id": first,
        "add_bos_token": True,
    }
