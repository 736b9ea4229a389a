"""Writing exports/<export_id>/: into a folder of another name first, checked against the manifest, then renamed.

Whoever looks into exports/ sees a dataset whole or not at all, also after a power cut.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from persona_training.errors import StorageError
from persona_training.exporting.client import ExportClient, ExportError
from persona_training.hashing import sha256_file

SPLITS = ("train", "val")
# The id comes over the network and becomes the name of a folder.
_SAFE_ID = re.compile(r"(?:personality|episodic-\d{4}-w\d{2})-[0-9a-f]{8}")


def fetch(client: ExportClient, manifest: dict[str, Any], exports_dir: Path) -> tuple[Path, bool]:
    """The dataset's folder, and whether it had to be fetched: one that is there and intact is not fetched again.

    Raises ExportError when the rows are not what the manifest promises, StorageError when the disk refuses.
    """
    export_id = str(manifest["export_id"])
    if not _SAFE_ID.fullmatch(export_id):
        raise ExportError(f"The service named a dataset {export_id!r}, which cannot be the name of a folder.")
    folder = exports_dir / export_id
    if is_intact(folder, manifest):
        return folder, False
    with _storage(exports_dir):
        exports_dir.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{export_id}.", suffix=".partial", dir=exports_dir))
        try:
            _fill(client, manifest, partial)
            partial.chmod(0o755)  # mkdtemp makes it private; a dataset is as readable as its neighbours
            if folder.exists():
                shutil.rmtree(folder)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder, True


def is_intact(folder: Path, manifest: dict[str, Any]) -> bool:
    """Whether the folder holds this very dataset: the same manifest and files with its hashes."""
    try:
        known = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        files = {split: sha256_file(folder / f"{split}.jsonl") for split in SPLITS}
    except (OSError, ValueError):
        return False
    return known == manifest and all(files[split] == manifest["splits"][split]["sha256"] for split in SPLITS)


def copy_rows(source: Path, target: Path) -> Path:
    """A copy of a file under another name, replaced in one step. Raises StorageError."""
    with _storage(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        os.close(handle)
        partial = Path(name)
        try:
            shutil.copyfile(source, partial)
            partial.chmod(0o644)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    return target


def _fill(client: ExportClient, manifest: dict[str, Any], partial: Path) -> None:
    whole = hashlib.sha256()
    for split in SPLITS:
        digest, rows = _write(partial / f"{split}.jsonl", client.rows(str(manifest["export_id"]), split), whole)
        promised = manifest["splits"][split]
        if (digest, rows) != (promised["sha256"], promised["rows"]):
            raise ExportError(
                f"The {split} rows that arrived ({rows}, {digest[:12]}…) are not those the manifest pins "
                f"({promised['rows']}, {promised['sha256'][:12]}…). Nothing was written. Run the command again."
            )
    if whole.hexdigest() != manifest["dataset_sha256"]:
        raise ExportError("The two splits do not add up to the manifest's dataset_sha256. Nothing was written.")
    text = json.dumps(manifest, ensure_ascii=False, indent=2) + "\n"
    _write(partial / "manifest.json", [text.encode()], hashlib.sha256())


def _write(path: Path, pieces: Iterable[bytes], whole: hashlib._Hash) -> tuple[str, int]:
    digest, rows = hashlib.sha256(), 0
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece)
            digest.update(piece)
            whole.update(piece)
            rows += piece.count(b"\n")
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest(), rows


@contextmanager
def _storage(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written: {error.strerror or error}. Nothing was left half-written."
        ) from error
