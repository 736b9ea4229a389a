"""What a backend is given and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from persona_training.config import Recipe
from persona_training.hardware import Hardware
from persona_training.processes import Process
from persona_training.schedule import Learnable, Schedule

if TYPE_CHECKING:
    from transformers import TrainerCallback


@dataclass(frozen=True)
class Job:
    """One training run, everything decided.

    Attributes:
        base_dir: the base model's folder.
        parents: finished adapters merged into the base in memory before the new one is added; their files are only read.
        schedule: the examples in order.
        val: held-out examples; may be empty.
        out_dir: receives `adapter_model.safetensors`, `adapter_config.json` and `checkpoints/`.
        checkpoint: continue from here, or None.
    """

    base_dir: Path
    parents: Sequence[Path]
    recipe: Recipe
    schedule: Schedule
    val: Sequence[Learnable]
    hardware: Hardware
    out_dir: Path
    checkpoint: Path | None


@dataclass(frozen=True)
class Step:
    """What one optimiser step, or one evaluation after it, has to say. `tokens` counts since the run began."""

    step: int
    loss: float | None
    eval_loss: float | None
    learning_rate: float | None
    grad_norm: float | None
    tokens: int


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        interrupted: on request, with a checkpoint saved; else at its last step or because patience was at its end.
        steps: optimiser steps taken since the run began.
        tokens: everything but padding since the run began.
        best_step: with `steps.patience`, the step whose weights were kept: that of the lowest held-out loss.
        best_loss: that loss, in nats per learned token.
    """

    interrupted: bool
    steps: int
    tokens: int
    best_step: int | None = None
    best_loss: float | None = None


class Monitor(Protocol):
    """Who watches a run: told of every step, asked whether to stop."""

    def stage(self, name: str) -> None:
        """The run now does `name`."""
        ...

    def step(self, step: Step) -> None:
        """A step or an evaluation is done."""
        ...

    def should_stop(self) -> bool:
        """True once somebody asked the run to stop; the backend then saves a checkpoint and returns."""
        ...


class Backend(Protocol):
    """Trains one adapter.

    Attributes:
        name: in recipes.
        callbacks: transformers' callbacks that are told of the loop's events beside the monitor; for measuring.
    """

    name: str
    callbacks: Sequence[TrainerCallback]

    def check(self, recipe: Recipe, hardware: Hardware) -> None:
        """Refuse what this backend cannot do with this recipe on this hardware, before anything is loaded.

        Raises:
            RecipeError: it cannot; the message says what to change or install.
        """
        ...

    def train(self, job: Job, monitor: Monitor) -> Outcome:
        """Run the job to its end, or to an interruption with a checkpoint saved; the first of several processes calls it."""
        ...

    def run(self, job: Job, monitor: Monitor, process: Process) -> Outcome:
        """This process's share of a job that all processes have; `train` calls it, and `following` for the others."""
        ...
