"""What the loop itself costs beside the model's work: metrics, heartbeat, callbacks, batches, learning rate.

For a benchmark on any device:

    job = Job(…, recipe with packing, batch size … as wanted, steps.max_steps of 20 or more …)
    cost = measure(job, monitor)              # backend taken from the recipe
    cost.share                                # of a step, in [0, 1); promised: at most 0.02

Give it the monitor a run uses (files, heartbeat, display), or its cost is not in the figure. Evaluations and checkpoints are
work that a recipe asks for, and left out. On CUDA the device is waited for twice a step, so that kernels still running do
not count as the loop's.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from persona_training.backends import choose_backend
from persona_training.backends.backend import Job, Monitor
from persona_training.errors import RecipeError

# Allocators and kernels settle in the first steps.
WARM_UP = 3
LEAST_STEPS = 10


@dataclass(frozen=True)
class Overhead:
    """Seconds of the median step, and of the loop's own part in it: CPU seconds on a CPU, else those of the clock."""

    steps: int
    seconds_per_step: float
    own_seconds_per_step: float

    @property
    def share(self) -> float:
        """The loop's own part, in [0, 1)."""
        return self.own_seconds_per_step / self.seconds_per_step


@dataclass
class Stopwatch(TrainerCallback):
    """Notes when each step's work begins and when it is done."""

    began: list[float] = field(default_factory=list)
    done: list[float] = field(default_factory=list)

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self.began.append(_now())

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        self.done.append(_now())

    def overhead(self) -> Overhead:
        """The medians after the warm-up."""
        began, done = self.began[WARM_UP:], self.done[WARM_UP:]
        own = [after - before for before, after in zip(done[:-1], began[1:], strict=True)]
        whole = [after - before for before, after in pairwise(began)]
        return Overhead(len(whole), statistics.median(whole), statistics.median(own))


def measure(job: Job, monitor: Monitor) -> Overhead:
    """Train the job, without evaluations and checkpoints, and tell what its loop costs.

    Raises:
        RecipeError: too few steps to tell.
    """
    if job.schedule.steps < LEAST_STEPS:
        raise RecipeError(f"Measuring takes at least {LEAST_STEPS} steps; set steps.max_steps.")
    steps = dataclasses.replace(job.recipe.steps, eval_every=0, patience=0, save_every=job.schedule.steps + 1)
    backend = choose_backend(job.recipe.backend)
    watch = Stopwatch()
    backend.callbacks = (watch,)
    backend.train(dataclasses.replace(job, recipe=dataclasses.replace(job.recipe, steps=steps), val=()), monitor)
    return watch.overhead()


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    # Of all this process's threads, heartbeat included; other programs on a shared CPU do not count.
    return time.process_time()
