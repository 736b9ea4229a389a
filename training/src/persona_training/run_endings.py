"""How a run may end other than by finishing: asked to stop, or failed; its files say which, and what to do."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from persona_training.adapters import Manifest, write_json
from persona_training.errors import PersonaTrainingError, StorageError
from persona_training.run_folder import RunFolder


@contextmanager
def failures_recorded(run: RunFolder, manifest: Manifest) -> Iterator[None]:
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
    except KeyboardInterrupt:
        _record_failure(run, manifest, f"Ended by a second Ctrl-C. Continue with --resume {run.adapter_id}")
        raise
    except BaseException as error:
        _record_failure(run, manifest, f"{type(error).__name__}: {error}")
        raise


def _record_failure(run: RunFolder, manifest: Manifest, message: str) -> None:
    manifest.update(status="failed")
    # Each for itself: a disk too full for one may take the other. The message reaches the console in any case.
    with suppress(StorageError):
        run.close("failed", message)
    with suppress(StorageError):
        write_json(run.path / "manifest.json", manifest)


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
