"""Checkpoints that count only when they are whole: a seal is written last, and older ones go only after that.

Files are flushed to the disk before the seal, so that a power cut cannot leave a sealed checkpoint with empty files. A kill,
a full disk or a stop in the middle of saving therefore costs the steps since the checkpoint before, never the run.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from persona_training.adapters import write_json

# A checkpoint counts only once this file lies in it: a kill in the middle of saving leaves none.
COMPLETE = "complete.json"
KEPT_CHECKPOINTS = 2


def checkpoints_folder(out_dir: Path) -> Path:
    """Where a run's checkpoints lie."""
    return out_dir / "checkpoints"


def latest_checkpoint(out_dir: Path) -> Path | None:
    """The newest checkpoint that was saved completely, or None."""
    return max(_complete(checkpoints_folder(out_dir)), key=_number, default=None)


def checkpoint_step(checkpoint: Path) -> int:
    """The optimiser step after which a checkpoint was taken."""
    step: int = json.loads((checkpoint / COMPLETE).read_text(encoding="utf-8"))["step"]
    return step


def seal(checkpoint: Path, step: int) -> None:
    """Declare a checkpoint whole, and drop all but the newest ones.

    Raises:
        StorageError: the seal cannot be written.
        OSError: the disk refuses what was written before.
    """
    for path in [*checkpoint.iterdir(), checkpoint]:
        _flush(path)
    write_json(checkpoint / COMPLETE, {"step": step})
    _flush(checkpoint)
    for older in sorted(_complete(checkpoint.parent), key=_number)[:-KEPT_CHECKPOINTS]:
        # The seal goes first: a kill while deleting must not leave a sealed half.
        (older / COMPLETE).unlink()
        shutil.rmtree(older)


def drop_incomplete(out_dir: Path) -> None:
    """Delete what a kill or a full disk left half written."""
    for folder in checkpoints_folder(out_dir).glob("checkpoint-*"):
        if not (folder / COMPLETE).is_file():
            shutil.rmtree(folder)


def _complete(folder: Path) -> list[Path]:
    return [path.parent for path in folder.glob(f"checkpoint-*/{COMPLETE}")]


def _number(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _flush(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders; its journal keeps names in order by itself.
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
