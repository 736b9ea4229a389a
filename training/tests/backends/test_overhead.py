"""The loop's own cost beside the model's work."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from persona_training.backends.backend import Job, Step
from persona_training.backends.overhead import measure
from persona_training.display import Display
from persona_training.errors import RecipeError
from persona_training.run_folder import RunFolder
from persona_training.schedule import Schedule
from rich.console import Console

from .random_world import conversation


class Watched:
    """Writes a run's files and shows its steps, as a run does."""

    def __init__(self, folder: Path, steps: int) -> None:
        self.run, self.display = RunFolder(folder, folder.name), Display(Console(file=StringIO()))
        self.run.open()
        self.run.begin_steps(steps, 0, 8, 8)

    def stage(self, name: str) -> None:
        self.run.update(stage=name)

    def step(self, step: Step) -> None:
        self.display.step(self.run.add(step))

    def should_stop(self) -> bool:
        return False


@pytest.mark.training
def test_the_loops_own_cost_is_told_from_the_steps(job_with: Callable[..., Job]) -> None:
    """How large it may be is for `benchmarks/training_gpu.py`: a time measured on a busy machine proves nothing."""
    rng = random.Random(1)
    rows = [conversation(rng, 60) for _ in range(4)]
    job = job_with(steps={"max_steps": 12, "batch_size": 4}, max_length=64)
    job = replace(job, schedule=Schedule(tuple(rows * 12), 12, 4))
    watched = Watched(job.out_dir, 12)
    with watched.display.training("training", 12, 0):
        cost = measure(job, watched)
    watched.run.close("finished", "")
    assert cost.steps == 8
    assert 0 < cost.own_seconds_per_step < cost.seconds_per_step
    assert cost.share == pytest.approx(cost.own_seconds_per_step / cost.seconds_per_step)


def test_too_few_steps_cannot_be_measured(job_with: Callable[..., Job], tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="at least 10 steps"):
        measure(job_with(), Watched(tmp_path / "run", 6))
