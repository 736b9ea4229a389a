"""Small random models with a tokenizer that can read anything, saved as merged model folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import pytest
import torch
from persona_training.evaluation.battery import load_battery
from persona_training.messages import Message
from persona_training.tiny.tokenizer import learn_tokenizer
from transformers import AutoConfig, AutoModelForCausalLM


class SaveModel(Protocol):
    def __call__(
        self, folder: Path, *, kind: str = "llama", tied: bool = True, vocabulary_padding: int = 0, **changes: Any
    ) -> Path: ...


def _save(folder: Path, *, kind: str = "llama", tied: bool = True, vocabulary_padding: int = 0, **changes: Any) -> Path:
    conversations = [
        [Message(role="user", content=probe.prompt), Message(role="assistant", content=probe.references[0])]
        for probe in load_battery().probes
    ]
    tokenizer = learn_tokenizer(conversations, 340)
    shape = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "tie_word_embeddings": tied,
        "head_dim": 16,
    }
    size = len(tokenizer) + vocabulary_padding
    config = AutoConfig.for_model(kind, **{**shape, **changes}, vocab_size=size, eos_token_id=tokenizer.eos_token_id)
    if kind == "mistral":
        config.sliding_window = None
    from_config: Any = AutoModelForCausalLM.from_config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = from_config(config)
        for name, parameter in model.named_parameters():
            if "norm" in name or name.endswith("bias"):  # ones and zeros by default, which would hide a swapped one
                torch.nn.init.uniform_(parameter, 0.5, 1.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def save_random_model() -> SaveModel:
    return _save


@pytest.fixture(scope="session")
def merged_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _save(tmp_path_factory.mktemp("merged"))
