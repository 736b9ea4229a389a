"""Jobs on a small Llama with random weights."""

from __future__ import annotations

import dataclasses
import gc
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from persona_training.backends.backend import Job
from persona_training.hardware import choose_hardware
from persona_training.schedule import plan
from persona_training.testing import small_recipe

from .random_world import conversation, save_random_base


@pytest.fixture(scope="session")
def random_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small Llama's folder."""
    base = save_random_base(tmp_path_factory.mktemp("random_base"))
    # transformers collects garbage at the start of every run: 0.4 s each over what is loaded by now and stays.
    gc.freeze()
    return base


@pytest.fixture
def job_with(random_base: Path, tmp_path: Path) -> Callable[..., Job]:
    """A function that makes a job: 24 conversations, 6 held out, 6 steps of 8."""

    def make(
        name: str = "run",
        checkpoint: Path | None = None,
        dropout: float = 0.0,
        steps: dict[str, Any] | None = None,
        **changes: Any,
    ) -> Job:
        rng = random.Random(3)
        steps = {"max_steps": 6, "save_every": 2, "eval_every": 0, "learning_rate": 0.01, **(steps or {})}
        recipe = small_recipe(random_base, steps=steps, **{"max_length": 64, **changes})
        recipe = dataclasses.replace(recipe, lora=dataclasses.replace(recipe.lora, r=4, lora_dropout=dropout))
        schedule = plan([conversation(rng) for _ in range(24)], [], 0.0, recipe.steps, recipe.seed)
        val = [conversation(rng) for _ in range(6)]
        return Job(random_base, (), recipe, schedule, val, choose_hardware("cpu"), tmp_path / name, checkpoint)

    return make
