"""One training run from request to finished adapter, the story all layers share.

Prepare, check, wait for the device, train, save, pin, register. A stop request saves a checkpoint; `resume` continues to
the same weights an uninterrupted run would have reached.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from persona_training.adapters import WEIGHTS_FILE, Manifest, read_adapter, write_json
from persona_training.backends.backend import Job, Outcome, Step
from persona_training.device_queue import Device, DeviceInUseError, StoppedWaiting, find_devices, holder_of
from persona_training.display import Display
from persona_training.errors import AdapterError, StorageError
from persona_training.hardware import choose_hardware
from persona_training.hashing import sha256_file, sha256_text
from persona_training.parents import adapter_folder, only_read
from persona_training.preflight import preflight, require
from persona_training.preflight_room import check_memory
from persona_training.preparation import Prepared, Request, prepare
from persona_training.run_endings import failures_recorded, stopped_by_signals
from persona_training.run_folder import RunFolder, now, read_state
from persona_training.run_manifest import (
    changed_libraries,
    check_unchanged,
    claim_folder,
    resumed_request,
    run_manifest,
)
from persona_training.settings import Settings
from persona_training.tensorboard_events import INSTALL, TensorboardEvents, tensorboard_installed
from persona_training.turn import Turn


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
    """Carries steps to the run's files, to TensorBoard and to the display."""

    run: RunFolder
    display: Display
    stop: threading.Event = field(default_factory=threading.Event)
    events: TensorboardEvents | None = None

    def begin(self, steps: int, done: int, epoch_rows: int, rows_per_step: int) -> None:
        """The run's length is known."""
        self.run.begin_steps(steps, done, epoch_rows, rows_per_step)
        if tensorboard_installed():
            self.events = TensorboardEvents(self.run.path, self.run.metrics())
        else:
            self.display.fact("tensorboard", f"no events: not installed ({INSTALL})")

    def __enter__(self) -> None:
        return

    def __exit__(self, *_: object) -> None:
        if self.events is not None:
            self.events.close()

    def stage(self, name: str) -> None:
        self.run.update(stage=name)

    def step(self, step: Step) -> None:
        line = self.run.add(step)
        if self.events is not None:
            self.events.add(line)
        self.display.step(line)

    def should_stop(self) -> bool:
        return self.stop.is_set()


def train(request: Request, settings: Settings, display: Display, wait: bool = True) -> RunResult:
    """Train a new adapter into `settings.adapters_dir`, once its device is free.

    Args:
        request: what to learn and how.
        settings: the folders.
        display: shows it.
        wait: False refuses a device that another run has.

    Raises:
        PreflightError: something is in the way; nothing was written.
        DeviceInUseError: another run has the device, and `wait` is False; nothing was written.
        PersonaTrainingError: whatever else stands in the way, with what to do.
    """
    prepared, devices = look(request, settings, display, wait)
    adapter_id, folder = claim_folder(prepared, settings.adapters_dir)
    return _run(prepared, run_manifest(prepared, adapter_id), folder, devices, display, wait)


def look(request: Request, settings: Settings, display: Display, wait: bool = True) -> tuple[Prepared, list[Device]]:
    """Everything that `train` does before its first step: prepare and check.

    Nothing is written but what the data folder keeps for every run: a base that is fetched or built, a merged one for 4
    bits, neutral replies.

    Raises:
        PersonaTrainingError: as `train`.
    """
    devices = find_devices(choose_hardware(request.recipe.device, request.recipe.dtype).device, settings.data_dir)
    if not wait and (held := holder_of(devices)) is not None:
        raise DeviceInUseError(*held)
    prepared = prepare(request, settings, display)
    preflight(prepared, settings, display, device_in_use=holder_of(devices) is not None)
    return prepared, devices


def resume(adapter_id: str, settings: Settings, display: Display, wait: bool = True) -> RunResult:
    """Continue an interrupted, failed or killed run from its last complete checkpoint, or from the start without one.

    Raises:
        AdapterError: the run is finished, is still going on, or something it was made of has changed.
        PersonaTrainingError: as `train`.
    """
    folder = adapter_folder(adapter_id, settings.adapters_dir)
    manifest = read_adapter(folder)
    if manifest["status"] == "finished":
        raise AdapterError(f"{manifest['adapter_id']} is finished; there is nothing to resume.")
    _refuse_if_alive(folder, manifest)
    prepared, devices = look(resumed_request(manifest), settings, display, wait)
    check_unchanged(manifest, prepared)
    if changed := changed_libraries(manifest):
        display.fact("WARNING", f"not the libraries it began with, its last bits may differ: {', '.join(changed)}")
    with _alone(folder, settings.data_dir):
        # The checks above take seconds, in which another process may have taken it up, or even finished it.
        _refuse_if_changed(folder, manifest)
        return _run(prepared, manifest, folder, devices, display, wait, resumed=True)


@contextmanager
def _alone(folder: Path, data_dir: Path) -> Iterator[None]:
    """Nobody else resumes this run inside the block; the lock is the operating system's, so the dead hold none.

    Raises:
        AdapterError: somebody does; nothing was touched.
        StorageError: the lock's folder cannot be written.
    """
    name = f"{folder.name}-{sha256_text(str(folder.resolve()))[:12]}.lock"
    lock = FileLock(data_dir / "resuming" / name)
    try:
        (data_dir / "resuming").mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout as error:
        raise AdapterError(f"{folder.name} is being resumed by another process; nothing was touched.") from error
    except OSError as error:
        raise StorageError(f"Cannot write {data_dir}: {error.strerror}. Point CASIOPY_DATA elsewhere.") from error
    try:
        yield
    finally:
        lock.release()


def _refuse_if_changed(folder: Path, manifest: Manifest) -> None:
    """The run is still what it was when it was checked, and nobody is at it."""
    found = read_adapter(folder)
    if found["status"] == "finished":
        raise AdapterError(f"{found['adapter_id']} was finished meanwhile by another process; nothing was touched.")
    _refuse_if_alive(folder, found)
    if found != manifest:
        raise AdapterError(
            f"{found['adapter_id']} was changed meanwhile by another process (it is {found['status']} now); nothing was "
            "touched. Resume it again."
        )


def _refuse_if_alive(folder: Path, manifest: Manifest) -> None:
    """Two processes on one folder would ruin it: a run with a fresh heartbeat is left alone."""
    state = read_state(folder)
    if state is not None and state.alive:
        raise AdapterError(
            f"{manifest['adapter_id']} is {state.status} in process {state.pid}. Stop it first (Ctrl-C or kill {state.pid})."
        )


def _run(
    prepared: Prepared,
    manifest: Manifest,
    folder: Path,
    devices: list[Device],
    display: Display,
    wait: bool,
    resumed: bool = False,
) -> RunResult:
    from persona_training.backends.checkpoints import latest_checkpoint

    display.fact("adapter", manifest["adapter_id"])
    run = RunFolder(folder, manifest["adapter_id"])
    watch = _Watch(run, display)
    run.open()
    with failures_recorded(run, manifest), stopped_by_signals(watch.stop):
        manifest.update(status="running")
        write_json(folder / "manifest.json", manifest)
        turn = Turn(run, display, devices, watch.should_stop)
        try:
            with turn.taken(wait):
                if turn.waited:
                    require(check_memory(prepared, device_in_use=False))
                outcome = _learn(prepared, folder, latest_checkpoint(folder) if resumed else None, watch)
                _close(prepared, manifest, run, outcome)
        except StoppedWaiting:
            _interrupt(manifest, run, "Stopped while waiting")
    return RunResult(folder, manifest)


def _learn(prepared: Prepared, folder: Path, checkpoint: Path | None, watch: _Watch) -> Outcome:
    from persona_training.backends import choose_backend
    from persona_training.backends.checkpoints import checkpoint_step

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
    if done:
        watch.display.fact("resumed", f"after step {done}, from {checkpoint}")
    per_step = recipe.steps.batch_size * recipe.steps.gradient_accumulation
    watch.begin(prepared.schedule.steps, done, prepared.schedule.epoch_rows, per_step)
    with watch, only_read(prepared.parents), watch.display.training("training", prepared.schedule.steps, done):
        return backend.train(job, watch)


def _close(prepared: Prepared, manifest: Manifest, run: RunFolder, outcome: Outcome) -> None:
    folder = run.path
    if outcome.interrupted:
        _interrupt(manifest, run, f"Stopped after step {outcome.steps}")
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
            "eval_loss": _held_out(evals, outcome),
            "best_step": outcome.best_step,
            "tokens": outcome.tokens,
            "seconds": seconds,
            "tokens_per_second": round(outcome.tokens / seconds, 1) if seconds else None,
        },
        finished_at=now(),
    )
    write_json(folder / "manifest.json", manifest)
    best = f", the best weights are those of step {outcome.best_step}" if outcome.best_step is not None else ""
    run.close("finished", f"{outcome.steps} steps in {seconds:.0f} s{best}")


def _held_out(evals: Sequence[float], outcome: Outcome) -> float | None:
    """The held-out loss of the weights that were kept."""
    if outcome.best_loss is not None:
        return outcome.best_loss
    return evals[-1] if evals else None


def _interrupt(manifest: Manifest, run: RunFolder, what: str) -> None:
    manifest.update(status="interrupted")
    write_json(run.path / "manifest.json", manifest)
    run.close("interrupted", f"{what}. Continue with --resume {run.adapter_id}")
