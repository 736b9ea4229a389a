"""Structured logs: readable lines on the console, one JSON object a line in `logs/memory_service.log`."""

import logging
import logging.handlers
from pathlib import Path

from pythonjsonlogger.json import JsonFormatter

# 10 MiB × 5 files: days of a busy stream, and never a full disk.
_MAX_BYTES, _BACKUPS = 10 * 1024 * 1024, 5


def configure_logs(logs_dir: Path, level: str, *, name: str = "memory_service", quiet: bool = False) -> Path:
    """Send the root logger to the console (`quiet`: warnings alone) and to `logs_dir/<name>.log`; returns that file."""
    logs_dir.mkdir(parents=True, exist_ok=True)
    path = logs_dir / f"{name}.log"
    lines = logging.handlers.RotatingFileHandler(path, maxBytes=_MAX_BYTES, backupCount=_BACKUPS, encoding="utf-8")
    lines.setFormatter(
        JsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s", rename_fields={"asctime": "time", "levelname": "level"}
        )
    )
    console = logging.StreamHandler()
    console.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S"))
    if quiet:
        console.setLevel(logging.WARNING)
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.addHandler(lines)
    root.addHandler(console)
    root.setLevel(level)
    for noisy in ("httpx", "torch", "alembic.runtime.plugins", "sentence_transformers", "pgqueuer"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return path
