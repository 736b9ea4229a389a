"""One `casiopy week` at a time: the lock is the operating system's, so a process that died holds nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from persona_training.adapters import write_json
from persona_training.errors import PersonaTrainingError, StorageError
from persona_training.run_folder import now
from persona_training.weekly.endings import LOCKED


class LockedError(PersonaTrainingError):
    """Another run holds the lock. Exit code 5."""

    exit_code = LOCKED.code


@contextmanager
def alone(adapters_dir: Path, what: str) -> Iterator[None]:
    """Hold the lock of all weeks in this adapters folder inside the block.

    Two different weeks do not run side by side either: the one that ends last would decide what is live.

    Args:
        adapters_dir: the lock lies in `weeks/` in it.
        what: the week, told to whoever is turned away.

    Raises:
        LockedError: another run has it; the message says which process and since when.
        StorageError: the folder cannot be written.
    """
    folder = adapters_dir / "weeks"
    holder = folder / ".lock.json"
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        raise LockedError(f"{_sentence(holder)} Nothing was touched.") from None
    except OSError as error:
        raise StorageError(f"Cannot write {folder}: {error.strerror}. Set LORA_ADAPTERS_DIR.") from error
    try:
        write_json(holder, {"pid": os.getpid(), "since": now(), "what": what})
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _sentence(holder: Path) -> str:
    try:
        told = json.loads(holder.read_text(encoding="utf-8"))
        return f"Another `casiopy week` is at {told['what']}: process {told['pid']}, since {told['since']}."
    except (OSError, ValueError, KeyError, TypeError):
        return "Another `casiopy week` has just begun or is just ending."
