"""Conversations of random tokens, a monitor that remembers, and a Llama with random weights: seconds, no downloads."""

from __future__ import annotations

import random
from pathlib import Path

from persona_training.backends.backend import Step
from persona_training.chat_template import IGNORED, Example

VOCABULARY = 96


class Recorded:
    """A monitor that remembers, and asks to stop after a step when told to."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.steps: list[Step] = []
        self.stop_after = stop_after

    def stage(self, name: str) -> None:
        """Stages are of no interest here."""

    def step(self, step: Step) -> None:
        self.steps.append(step)

    def should_stop(self) -> bool:
        done = [step.step for step in self.steps if step.loss is not None]
        return self.stop_after is not None and len(done) + 1 >= self.stop_after

    @property
    def losses(self) -> list[float]:
        return [step.loss for step in self.steps if step.loss is not None]

    @property
    def held_out(self) -> list[float]:
        return [step.eval_loss for step in self.steps if step.eval_loss is not None]


def conversation(rng: random.Random, longest: int = 40) -> Example:
    """Tokens of which the second part is learned."""
    ids = tuple(rng.randrange(3, VOCABULARY) for _ in range(rng.randint(4, longest)))
    asked = rng.randint(1, len(ids) - 1)
    return Example(ids, (IGNORED,) * asked + ids[asked:])


def save_random_base(folder: Path) -> Path:
    """A Llama of two layers, and a tokenizer of as many words."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    words = WordLevel({f"w{number}": number for number in range(VOCABULARY)}, unk_token="w0")
    PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(words), pad_token="w0", bos_token="w1", eos_token="w2"
    ).save_pretrained(folder)
    return folder
