"""One training run from request to finished adapter, the story all layers share.

Prepare, show, train, save, pin, register. A stop request saves a checkpoint; `resume` continues to the same weights an
uninterrupted run would have reached.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from persona_training.adapters import WEIGHTS_FILE, Manifest, read_adapter, write_json
from persona_training.backends.backend import Job, Outcome, Step
from persona_training.display import Display
from persona_training.errors import AdapterError, PersonaTrainingError, StorageError
from persona_training.hashing import sha256_file
from persona_training.parents import adapter_folder, only_read
from persona_training.preparation import Prepared, Request, prepare
from persona_training.run_folder import RunFolder, now
from persona_training.run_manifest import (
    changed_libraries,
    check_unchanged,
    claim_folder,
    resumed_request,
    run_manifest,
)
from persona_training.settings import Settings


@dataclass(frozen=True)
class RunResult:
    """Where the adapter lies and what became of it."""

    folder: Path
    manifest: Manifest

    @property
    def interrupted(self) -> bool:
        """True when the run was stopped and can be resumed."""
        return bool(self.manifest["status"] == "interrupted")


@dataclass
class _Watch:
    """Carries steps to the run's files and to the display."""

    run: RunFolder
    display: Display
    stop: threading.Event = field(default_factory=threading.Event)

    def stage(self, name: str) -> None:
        self.run.update(stage=name)

    def step(self, step: Step) -> None:
        self.display.step(self.run.add(step))

    def should_stop(self) -> bool:
        return self.stop.is_set()


def train(request: Request, settings: Settings, display: Display) -> RunResult:
    """Train a new adapter into `settings.adapters_dir`.

    Raises:
        PersonaTrainingError: whatever stands in the way, with what to do.
    """
    prepared = prepare(request, settings, display)
    adapter_id, folder = claim_folder(prepared, settings.adapters_dir)
    return _run(prepared, run_manifest(prepared, adapter_id), folder, None, display)


def resume(adapter_id: str, settings: Settings, display: Display) -> RunResult:
    """Continue an interrupted, failed or killed run from its last complete checkpoint, or from the start without one.

    Raises:
        AdapterError: the run is finished, or something it was made of has changed.
    """
    from persona_training.backends.hf import latest_checkpoint

    folder = adapter_folder(adapter_id, settings.adapters_dir)
    manifest = read_adapter(folder)
    if manifest["status"] == "finished":
        raise AdapterError(f"{manifest['adapter_id']} is finished; there is nothing to resume.")
    prepared = prepare(resumed_request(manifest), settings, display)
    check_unchanged(manifest, prepared)
    if changed := changed_libraries(manifest):
        display.fact("WARNING", f"not the libraries it began with, its last bits may differ: {', '.join(changed)}")
    return _run(prepared, manifest, folder, latest_checkpoint(folder), display)


def _run(prepared: Prepared, manifest: Manifest, folder: Path, checkpoint: Path | None, display: Display) -> RunResult:
    from persona_training.backends import choose_backend
    from persona_training.backends.hf import checkpoint_step

    recipe = prepared.request.recipe
    backend = choose_backend(recipe.backend)
    job = Job(
        prepared.load_from,
        prepared.to_merge,
        recipe,
        prepared.schedule,
        prepared.val,
        prepared.hardware,
        folder,
        checkpoint,
    )
    done = checkpoint_step(checkpoint) if checkpoint else 0
    display.fact("adapter", f"{manifest['adapter_id']}" + (f", resumed after step {done}" if done else ""))
    run = RunFolder(folder, manifest["adapter_id"])
    run.open()
    with _failures_recorded(run, manifest):
        manifest.update(status="running")
        write_json(folder / "manifest.json", manifest)
        per_step = recipe.steps.batch_size * recipe.steps.gradient_accumulation
        run.begin_steps(prepared.schedule.steps, done, prepared.schedule.epoch_rows, per_step)
        watch = _Watch(run, display)
        bar = display.training("training", prepared.schedule.steps, done)
        with only_read(prepared.parents), stopped_by_signals(watch.stop), bar:
            outcome = backend.train(job, watch)
        _close(prepared, manifest, run, outcome)
    return RunResult(folder, manifest)


def _close(prepared: Prepared, manifest: Manifest, run: RunFolder, outcome: Outcome) -> None:
    adapter_id, folder = manifest["adapter_id"], run.path
    if outcome.interrupted:
        manifest.update(status="interrupted")
        write_json(folder / "manifest.json", manifest)
        run.close("interrupted", f"Stopped after step {outcome.steps}. Continue with --resume {adapter_id}")
        return
    prepared.tokenizer.save_pretrained(str(folder))
    lines = run.metrics()
    losses = [line["loss"] for line in lines if line["loss"] is not None]
    evals = [line["eval_loss"] for line in lines if line["eval_loss"] is not None]
    seconds = lines[-1]["elapsed_seconds"]
    manifest.update(
        status="finished",
        weights={"file": WEIGHTS_FILE, "sha256": sha256_file(folder / WEIGHTS_FILE)},
        result={
            "steps": outcome.steps,
            "epochs": lines[-1]["epoch"],
            "train_loss": sum(losses) / len(losses),
            "eval_loss": evals[-1] if evals else None,
            "tokens": outcome.tokens,
            "seconds": seconds,
            "tokens_per_second": round(outcome.tokens / seconds, 1) if seconds else None,
        },
        finished_at=now(),
    )
    write_json(folder / "manifest.json", manifest)
    run.close("finished", f"{outcome.steps} steps in {seconds:.0f} s")


@contextmanager
def _failures_recorded(run: RunFolder, manifest: Manifest) -> Iterator[None]:
    """Whatever goes wrong, the run's files say so; disk and memory failures become messages with advice."""
    import torch
    from safetensors import SafetensorError

    try:
        yield
    except PersonaTrainingError as error:
        _record_failure(run, manifest, error.message)
        raise
    except torch.OutOfMemoryError as error:
        advice = "The GPU's memory is full. Lower steps.batch_size or max_length, or set gradient_checkpointing: true."
        _record_failure(run, manifest, advice)
        raise PersonaTrainingError(advice) from error
    except (OSError, SafetensorError) as error:
        advice = f"Writing the adapter failed: {error}. Free some space, then --resume {manifest['adapter_id']}."
        _record_failure(run, manifest, advice)
        raise StorageError(advice) from error
    except BaseException as error:
        _record_failure(run, manifest, f"{type(error).__name__}: {error}")
        raise


def _record_failure(run: RunFolder, manifest: Manifest, message: str) -> None:
    manifest.update(status="failed")
    try:
        run.close("failed", message)
        write_json(run.path / "manifest.json", manifest)
    except StorageError:
        # The disk that failed the run cannot take its obituary either; the message still reaches the console.
        return


@contextmanager
def stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """SIGINT and SIGTERM ask the run to stop at the next step; a second one ends the process the usual way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
