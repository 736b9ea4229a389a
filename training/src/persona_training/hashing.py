"""SHA-256 of files and folders: what manifests pin."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

CHUNK_BYTES = 4 << 20


def sha256_text(text: str) -> str:
    """Hex digest of the UTF-8 text."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_json(value: object) -> str:
    """Hex digest of a value's canonical JSON (sorted keys, no spaces)."""
    return sha256_text(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False))


def sha256_file(path: Path) -> str:
    """Hex digest of a file, read in chunks so that an 8B model's shards fit."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_files(paths: Iterable[Path]) -> str:
    """One digest over several files: their names and digests, in name order; files of one name in the order given."""
    digests: dict[str, list[str]] = {}
    for path in paths:
        digests.setdefault(path.name, []).append(sha256_file(path))
    return sha256_json({name: one if not more else [one, *more] for name, (one, *more) in digests.items()})
