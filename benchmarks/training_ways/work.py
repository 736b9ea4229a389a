"""What every way of training is given: a model of a real shape with random weights, and the same random conversations."""

import json
import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from persona_training.chat_template import IGNORED, Example

# Numbers of the published config.json files; weights are random, so nothing is fetched.
SHAPES: dict[str, dict[str, Any]] = {
    "llama-3.1-8b": {
        "model_type": "llama",
        "vocab_size": 128256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": False,
    },
    "qwen3-4b": {
        "model_type": "qwen3",
        "vocab_size": 151936,
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
    },
    "tiny": {
        "model_type": "llama",
        "vocab_size": 2048,
        "hidden_size": 128,
        "intermediate_size": 352,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
    },
}
LINEAR_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
RANK = 16
# Chat exchanges are short: half of them below this share of a full row (the sample month's are shorter still).
MEDIAN_SHARE = 0.12


@dataclass(frozen=True)
class Work:
    """What to train on, the same for every way.

    Attributes:
        shape: a key of SHAPES; model: its folder.
        device, dtype: as torch names them. four_bit: the base in NF4.
        data: "full" (conversations of exactly `length` tokens) or "short" (many short ones; who can, packs them).
        length: tokens of the longest row. batch_size: rows of that length a step.
        warmup, steps: optimiser steps before the clock starts, and those that are timed.
    """

    shape: str
    model: str
    device: str
    dtype: str
    four_bit: bool
    data: str
    length: int
    batch_size: int
    warmup: int
    steps: int
    seed: int = 7

    def dump(self) -> str:
        """As an argument for the process that measures one way."""
        return json.dumps(asdict(self))

    @property
    def tokens(self) -> int:
        """About how many tokens a step has, padding not counted."""
        return self.batch_size * self.length


def build_model(shape: str, folder: Path, device: str, dtype: str, layers: int | None = None) -> None:
    """Write a model of that shape with random weights, and a small tokenizer beside it (Unsloth asks for one)."""
    from persona_training.tiny.tokenizer import learn_tokenizer
    from transformers import AutoConfig, AutoModelForCausalLM

    given = SHAPES[shape] | ({} if layers is None else {"num_hidden_layers": layers})
    tokenizer = learn_tokenizer([[{"role": "user", "content": "hola, qué tal"}]], 300)
    ids = {"bos_token_id": tokenizer.eos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = AutoConfig.for_model(given.pop("model_type"), **given, **ids, pad_token_id=tokenizer.pad_token_id)
    torch.manual_seed(1)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def conversations(work: Work) -> list[Example]:
    """Random conversations for all steps: `batch_size` full rows a step, or as many short ones as hold as many tokens."""
    rng = random.Random(work.seed)
    vocabulary = SHAPES[work.shape]["vocab_size"]
    total = (work.warmup + work.steps) * work.tokens
    made: list[Example] = []
    while total > 0:
        size = work.length if work.data == "full" else _short(rng, work.length)
        ids = tuple(rng.randrange(300, vocabulary) for _ in range(size))
        read = size // 2
        made.append(Example(ids, (IGNORED,) * read + ids[read:]))
        total -= size
    return made


def _short(rng: random.Random, longest: int) -> int:
    size = rng.lognormvariate(math.log(longest * MEDIAN_SHARE), 0.7)
    return max(16, min(longest, round(size)))


def batches(work: Work, examples: Sequence[Example]) -> list[list[Example]]:
    """The conversations dealt out to the steps, for ways that pad: in order, about equally many tokens each."""
    dealt: list[list[Example]] = [[]]
    held = 0
    for example in examples:
        if dealt[-1] and held + example.length > work.tokens and len(dealt) < work.warmup + work.steps:
            dealt.append([])
            held = 0
        dealt[-1].append(example)
        held += example.length
    return dealt
