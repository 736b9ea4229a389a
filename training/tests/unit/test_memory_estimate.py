"""The estimate against published figures, real parameter counts, and what autograd really keeps."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from persona_training.cards import card_bytes
from persona_training.config import Lora, Recipe, Steps
from persona_training.errors import RecipeError
from persona_training.memory_estimate import Estimate, estimate, read_shape, trainable_count
from transformers import AutoConfig, AutoModelForCausalLM

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def config(
    kind: str, hidden: int, intermediate: int, layers: int, heads: int, kv: int, vocabulary: int, **more: Any
) -> dict[str, Any]:
    return {
        "model_type": kind,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "vocab_size": vocabulary,
        "tie_word_embeddings": False,
        **more,
    }


LLAMA_3_1_8B = config("llama", 4096, 14336, 32, 32, 8, 128256)
HERMES_3_8B = LLAMA_3_1_8B
MISTRAL_7B = config("mistral", 4096, 14336, 32, 32, 8, 32768)
QWEN3_4B = config("qwen3", 2560, 9728, 36, 32, 8, 151936, head_dim=128, tie_word_embeddings=True)
QWEN3_8B = config("qwen3", 4096, 12288, 36, 32, 8, 151936, head_dim=128)
QWEN2_5_14B = config("qwen2", 5120, 13824, 48, 40, 8, 152064)
LLAMA_2_7B = config("llama", 4096, 11008, 32, 32, 32, 32000)
LLAMA_2_13B = config("llama", 5120, 13824, 40, 40, 40, 32000)
LLAMA_2_70B = config("llama", 8192, 28672, 80, 64, 8, 32000)
LLAMA_3_3_70B = config("llama", 8192, 28672, 80, 64, 8, 128256)


def recipe(rank: int = 32, length: int = 1024, **changes: Any) -> Recipe:
    steps = Steps(batch_size=1, learning_rate=1e-4, gradient_checkpointing=True)
    return dataclasses.replace(Recipe("x", 1, "base", Lora(rank, rank, 0.0, ALL), steps, max_length=length), **changes)


@pytest.mark.parametrize(
    ("base", "count"),
    [
        (LLAMA_3_1_8B, 8_030_261_248),
        (MISTRAL_7B, 7_248_023_552),
        (QWEN3_4B, 4_022_468_096),
        (QWEN3_8B, 8_190_735_360),
        (QWEN2_5_14B, 14_770_033_664),
        (LLAMA_2_7B, 6_738_415_616),
        (LLAMA_3_3_70B, 70_553_706_496),
    ],
)
def test_parameters_are_counted_as_the_model_cards_give_them(base: dict[str, Any], count: int) -> None:
    assert read_shape(base).parameters == count


@pytest.mark.parametrize(("rank", "count"), [(16, 41_943_040), (32, 83_886_080)])
def test_an_adapter_on_llama_3_1_8b_has_the_size_its_users_report(rank: int, count: int) -> None:
    assert trainable_count(LLAMA_3_1_8B, recipe(rank).lora) == count


def tables_in_float32(base: dict[str, Any]) -> int:
    """What peft's preparation for 4-bit training adds: embedding and head in float32. Published plain figures have it, our
    backend does without."""
    return 2 * 2 * int(base["vocab_size"]) * int(base["hidden_size"])


# Longest context, Llama 3.1 8B, QLoRA, rank 32 on all layers, batch 1: what fills the card (unsloth.ai benchmarks). The plain
# rows are of a transformers that kept 16 to 20 bytes per logit where today's keeps 12, so ours come out lower.
CONTEXTS = [
    ("unsloth", 8, 2_972, 0.08),
    ("unsloth", 12, 21_848, 0.08),
    ("unsloth", 24, 78_475, 0.08),
    ("unsloth", 80, 342_733, 0.08),
    ("hf", 12, 932, 0.20),
    ("hf", 24, 5_789, 0.20),
    ("hf", 80, 28_454, 0.20),
]


@pytest.mark.parametrize(("backend", "card", "length", "tolerance"), CONTEXTS)
def test_the_longest_published_contexts_fill_their_cards(
    backend: str, card: int, length: int, tolerance: float
) -> None:
    needed = estimate(LLAMA_3_1_8B, recipe(length=length, backend=backend, load_in_4bit=True)).total_bytes
    needed += tables_in_float32(LLAMA_3_1_8B) if backend == "hf" else 0
    assert needed / card_bytes(card) == pytest.approx(1, abs=tolerance)


# Rule-of-thumb memory by size of model (LLaMA-Factory's README, there marked as estimated), in GB; rank 8, 1024 tokens.
RULES = [
    (LLAMA_2_7B, False, 16),
    (LLAMA_2_13B, False, 32),
    (QWEN2_5_14B, False, 32),
    (LLAMA_3_3_70B, False, 160),
    (LLAMA_2_7B, True, 6),
    (LLAMA_2_13B, True, 12),
    (LLAMA_2_70B, True, 48),
]


@pytest.mark.parametrize(("base", "quantised", "gigabytes"), RULES)
def test_published_rules_of_thumb_are_met_within_a_fifth(
    base: dict[str, Any], quantised: bool, gigabytes: float
) -> None:
    total = estimate(base, recipe(8, load_in_4bit=quantised)).total_bytes
    total += tables_in_float32(base) if quantised else 0
    assert total / 1e9 == pytest.approx(gigabytes, rel=0.20)


def test_the_wiki_s_seven_gigabytes_and_published_minima() -> None:
    """LLaMA-Factory's wiki: Llama 2 7B in 4 bits with Unsloth, batch 4 of 1024, 7 GB. Unsloth's least, "about 6 GB" for
    8B, is below what embedding and head in 16 bits leave room for; ours must never promise less than it."""
    steps = Steps(batch_size=4, learning_rate=1e-4, gradient_checkpointing=True)
    wiki = estimate(LLAMA_2_7B, recipe(8, backend="unsloth", load_in_4bit=True, steps=steps))
    assert wiki.total_bytes / 1e9 == pytest.approx(7, rel=0.20)
    least = estimate(HERMES_3_8B, recipe(8, 512, backend="unsloth", load_in_4bit=True))
    assert 6e9 < least.total_bytes < 8e9


def kept_by_autograd(kind: str, layers: int, tokens: int, dtype: torch.dtype) -> int:
    shape = {"hidden_size": 128, "intermediate_size": 384, "num_attention_heads": 8, "num_key_value_heads": 2}
    settings = AutoConfig.for_model(kind, **shape, num_hidden_layers=layers, vocab_size=64, head_dim=16)
    from_config: Any = AutoModelForCausalLM.from_config  # untyped
    lora = LoraConfig(r=4, lora_alpha=4, lora_dropout=0.0, target_modules=list(ALL))
    plain = from_config(settings, dtype=dtype, attn_implementation="sdpa")
    model = get_peft_model(plain, lora).train()
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16),
    ):
        logits = model(torch.zeros(1, tokens, dtype=torch.long)).logits
    del logits
    return sum(kept.values())


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen3"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_layer_keeps_what_autograd_keeps(kind: str, dtype: torch.dtype) -> None:
    """Two layers more keep so many bytes more. The architecture's own extras (rotary products, head norms) are not
    counted one by one, hence the margin; dropout's mask is left out, which is larger on a CPU than on a GPU."""
    two, four = (kept_by_autograd(kind, layers, 256, dtype) for layers in (2, 4))
    base = config(kind, 128, 384, 1, 8, 2, 64, head_dim=16)
    steps = Steps(batch_size=1, learning_rate=1e-4)
    name = str(dtype).removeprefix("torch.")
    ours = estimate(base, recipe(4, 256, dtype=name, steps=steps)).parts["activations"]
    assert ours == pytest.approx((four - two) / 2, rel=0.25)


def total(**changes: Any) -> int:
    return estimate(QWEN3_8B, recipe(**changes)).total_bytes


def test_every_knob_moves_the_estimate_the_way_its_comment_says() -> None:
    plain = total()
    assert total(load_in_4bit=True) < plain
    assert total(length=2048) > plain
    assert total(rank=64) > plain
    assert total(steps=Steps(batch_size=2, learning_rate=1e-4, gradient_checkpointing=True)) > plain
    assert total(steps=Steps(batch_size=1, learning_rate=1e-4)) > plain
    assert total(backend="unsloth") < plain
    assert total(dtype="float32") > plain
    assert total(device="cpu") == total(dtype="float32")
    assert total(layer=3, objective="dpo") > total(layer=3, objective="kto")


def test_a_parent_is_merged_in_main_memory_before_quantising() -> None:
    four_bit = recipe(load_in_4bit=True, layer=2)
    alone, merged = estimate(QWEN3_4B, four_bit), estimate(QWEN3_4B, four_bit, parents=1)
    assert merged.total_bytes == alone.total_bytes
    assert merged.host_bytes > 2 * read_shape(QWEN3_4B).parameters > alone.host_bytes


def test_an_estimate_says_where_the_memory_goes() -> None:
    said = Estimate(
        9_800_000_000, {"base weights": 7_800_000_000, "logits": 1_400_000_000, "framework": 600_000_000}, 0
    )
    assert said.sentence() == "about 9.8 GB: base weights 7.8, logits 1.4, framework 0.6"
    assert said.fits(12)
    assert not said.fits(8)
    parts = estimate(QWEN3_8B, recipe())
    assert parts.total_bytes == sum(parts.parts.values())


@pytest.mark.parametrize(
    ("base", "modules", "message"),
    [
        ({"model_type": "mamba"}, ALL, "'mamba' cannot be estimated"),
        ({"model_type": "llama", "hidden_size": 8}, ALL, "lacks 'intermediate_size'"),
        (QWEN3_4B, ("q_proj", "w1"), "names w1"),
    ],
)
def test_what_cannot_be_estimated_is_said_so(base: dict[str, Any], modules: tuple[str, ...], message: str) -> None:
    wrong = dataclasses.replace(recipe(), lora=Lora(8, 8, 0.0, modules))
    with pytest.raises(RecipeError, match=message):
        estimate(base, wrong)


def test_heads_share_the_hidden_size_where_the_config_does_not_say() -> None:
    assert read_shape(config("llama", 64, 128, 1, 4, 4, 32)).matrices["q_proj"] == (64, 64)
