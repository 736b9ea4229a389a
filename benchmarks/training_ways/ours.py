"""Casiopy's own backends, through the same door a run uses."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from persona_training.backends import choose_backend
from persona_training.backends.backend import Job, Step
from persona_training.backends.overhead import LEAST_STEPS, WARM_UP, measure
from persona_training.config import Lora, Recipe, Steps
from persona_training.hardware import choose_hardware
from persona_training.run_folder import RunFolder
from persona_training.schedule import plan

from training_ways.clock import Clock
from training_ways.work import LINEAR_LAYERS, RANK, Work, conversations


class Watched:
    """Writes a run's files as a real run does, and keeps the time of each step."""

    def __init__(self, clock: Clock, run: RunFolder, stop_at: int | None = None) -> None:
        self.clock, self.run, self.stop_at = clock, run, stop_at

    def stage(self, name: str) -> None:
        self.run.update(stage=name)

    def step(self, step: Step) -> None:
        self.run.add(step)
        if step.loss is not None:
            self.clock.step(step.tokens, step.loss)

    def should_stop(self) -> bool:
        return self.stop_at is not None and len(self.clock.times) >= self.stop_at


def recipe(work: Work, backend: str) -> Recipe:
    """The work as a recipe."""
    return Recipe(
        name=f"benchmark/{work.shape}",
        layer=1,
        base_model=work.model,
        lora=Lora(r=RANK, lora_alpha=RANK, lora_dropout=0.0, target_modules=LINEAR_LAYERS),
        steps=Steps(
            batch_size=work.batch_size,
            learning_rate=2e-4,
            max_steps=work.warmup + work.steps,
            save_every=10**6,
            gradient_checkpointing=work.device == "cuda",
        ),
        max_length=work.length,
        packing=work.data == "short",
        load_in_4bit=work.four_bit,
        backend=backend,
        device=work.device,
        dtype=work.dtype,
        threads=1 if work.device == "cpu" else None,
        seed=work.seed,
    )


def train(work: Work, folder: Path, backend: str = "hf") -> dict[str, Any]:
    """Train the steps of `work` and measure."""
    return run(work, folder, backend).clock.measured()


def overhead(work: Work, folder: Path) -> dict[str, Any]:
    """The share of a step that is our loop's own work: metrics, heartbeat, callbacks, batches."""
    longer = replace(work, steps=max(work.steps, LEAST_STEPS + WARM_UP))
    job, watched = _begun(longer, folder, "hf")
    cost = measure(job, watched)
    watched.run.close("finished", "")
    return {"overhead": round(cost.share, 5), "milliseconds_per_step": round(cost.own_seconds_per_step * 1000, 2)}


def run(
    work: Work, folder: Path, backend: str = "hf", *, stop_at: int | None = None, checkpoint: Path | None = None
) -> Watched:
    """One run of `work` into `folder`, to its end, or to `stop_at` with a checkpoint saved."""
    job, watched = _begun(work, folder, backend, stop_at, checkpoint)
    choose_backend(backend).train(job, watched)
    watched.run.close("finished", "")
    return watched


def _begun(
    work: Work, folder: Path, backend: str, stop_at: int | None = None, checkpoint: Path | None = None
) -> tuple[Job, Watched]:
    asked = recipe(work, backend)
    schedule = plan(conversations(work), (), 0.0, asked.steps, asked.seed)
    files = RunFolder(folder, folder.name)
    files.open()
    files.begin_steps(schedule.steps, 0, schedule.epoch_rows, work.batch_size)
    hardware = choose_hardware(work.device, work.dtype)
    job = Job(Path(work.model), (), asked, schedule, (), hardware, folder, checkpoint)
    return job, Watched(Clock(work.device, work.warmup), files, stop_at)
