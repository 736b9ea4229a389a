"""Writing exports/<export_id>/: into a folder of another name first, checked against the manifest, then renamed.

Whoever looks into exports/ sees a dataset whole or not at all, also after a power cut. What arrived before a connection broke
off waits in a hidden folder, and the next run goes on from there.
"""

from __future__ import annotations

import filecmp
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from persona_training.errors import DatasetError, StorageError
from persona_training.exporting.client import BrokenOff, ExportClient, ExportError
from persona_training.hashing import CHUNK_BYTES, sha256_file, sha256_text
from persona_training.row_formats import parse_row

SPLITS = ("train", "val")
# The id comes over the network and becomes the name of a folder.
_SAFE_ID = re.compile(r"(?:personality|episodic-\d{4}-w\d{2}|skill-[a-z0-9]+(?:-[a-z0-9]+)*|preference)-[0-9a-f]{8}")
# A router that restarts is back within half a minute.
_TRIES, _FIRST_PAUSE_SECONDS = 5, 1.0
_FORGOTTEN_SECONDS = 7 * 86_400
# Characters of a first line that are looked at, so that a large file without line ends is not read whole.
_LONGEST_ROW = 16 << 20


def fetch(client: ExportClient, manifest: dict[str, Any], exports_dir: Path) -> tuple[Path, bool]:
    """The dataset's folder, and whether it had to be fetched: one that is there and intact is not fetched again.

    Raises:
        ExportError: the rows are not what the manifest promises, or cannot be had any more. BrokenOff: the connection did,
        also when tried again; what is there waits for the next run. StorageError: the disk refuses.
    """
    export_id = str(manifest["export_id"])
    if not _SAFE_ID.fullmatch(export_id):
        raise ExportError(f"The service named a dataset {export_id!r}, which cannot be the name of a folder.")
    folder, partial = exports_dir / export_id, exports_dir / f".{export_id}.partial"
    with _storage(exports_dir):
        exports_dir.mkdir(parents=True, exist_ok=True)
        _sweep(exports_dir)
        # Two who export the same at once: the second waits, and finds it there. One lock for the folder, outside of it, so that
        # neither locks pile up nor anything lies in it that is no dataset.
        lock = f"casiopy-exports-{sha256_text(str(exports_dir.resolve()))[:16]}.lock"
        with FileLock(Path(tempfile.gettempdir()) / lock):
            partial.mkdir(exist_ok=True)
            try:
                _write(partial / "manifest.json", client.manifest(export_id))
                if _is_intact(folder, partial, manifest):
                    shutil.rmtree(partial)
                    return folder, False
                _fill(client, manifest, partial)
            except BrokenOff:
                raise
            except ExportError:
                shutil.rmtree(partial, ignore_errors=True)  # what was erased over there does not lie about here
                raise
            if folder.exists():
                shutil.rmtree(folder)
            partial.rename(folder)
    return folder, True


def refuse_foreign(target: Path) -> None:
    """Let a copy replace only what an earlier copy may have been: an empty file, or one that begins with a dataset row.

    Raises:
        ExportError: the file holds something else.
    """
    if not target.is_file():
        return
    try:
        with target.open(encoding="utf-8") as file:
            first = file.readline(_LONGEST_ROW)
        if first:
            parse_row(first, f"{target}:1")
    except OSError as error:
        raise StorageError(f"{target} cannot be read: {error.strerror}. Give --output another file.") from error
    except (UnicodeDecodeError, DatasetError):
        raise ExportError(
            f"{target} is there and does not begin with a dataset row, so it is left as it is. Give --output another file, or "
            "move this one away."
        ) from None


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


def _is_intact(folder: Path, partial: Path, manifest: dict[str, Any]) -> bool:
    """Whether the folder holds this very dataset: the same manifest and files with its hashes."""
    try:
        same = filecmp.cmp(folder / "manifest.json", partial / "manifest.json", shallow=False)
        files = {split: sha256_file(folder / f"{split}.jsonl") for split in SPLITS}
    except OSError:
        return False
    return same and all(files[split] == manifest["splits"][split]["sha256"] for split in SPLITS)


def _fill(client: ExportClient, manifest: dict[str, Any], partial: Path) -> None:
    for split in SPLITS:
        path, promised = partial / f"{split}.jsonl", manifest["splits"][split]
        began_earlier = path.exists()
        for attempt in range(_TRIES):
            try:
                _continue(client, str(manifest["export_id"]), split, path, promised)
                break
            except BrokenOff:
                if attempt == _TRIES - 1:
                    raise
                time.sleep(_FIRST_PAUSE_SECONDS * 2**attempt)
        if began_earlier and sha256_file(path) != promised["sha256"]:
            path.unlink()  # what was left from another time does not fit any more
            _continue(client, str(manifest["export_id"]), split, path, promised)
    _check(manifest, partial)


def _continue(client: ExportClient, export_id: str, split: str, path: Path, promised: dict[str, Any]) -> None:
    """Fetch what is still missing of a file."""
    have = path.stat().st_size if path.exists() else 0
    if have and sha256_file(path) == promised["sha256"]:
        return
    if have >= promised.get("bytes", have + 1):
        have = 0
    with client.rows(export_id, split, have, promised["sha256"]) as rest:
        _write(path, rest.pieces, rest.start)


def _check(manifest: dict[str, Any], partial: Path) -> None:
    whole = hashlib.sha256()
    for split in SPLITS:
        digest, rows = hashlib.sha256(), 0
        with (partial / f"{split}.jsonl").open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                whole.update(chunk)
                rows += chunk.count(b"\n")
        promised = manifest["splits"][split]
        if (digest.hexdigest(), rows) != (promised["sha256"], promised["rows"]):
            raise ExportError(
                f"The {split} rows that arrived ({rows}, {digest.hexdigest()[:12]}…) are not those the manifest pins "
                f"({promised['rows']}, {promised['sha256'][:12]}…). Nothing was written. Run the command again."
            )
    if whole.hexdigest() != manifest["dataset_sha256"]:
        raise ExportError("The two splits do not add up to the manifest's dataset_sha256. Nothing was written.")


def _write(path: Path, pieces: Iterable[bytes], start: int = 0) -> None:
    with path.open("r+b" if start else "wb") as file:
        file.seek(start)
        file.truncate()
        try:
            for piece in pieces:
                file.write(piece)
        finally:
            file.flush()
            os.fsync(file.fileno())


def _sweep(exports_dir: Path) -> None:
    """Take away what broke off so long ago that nobody goes on with it."""
    for left in exports_dir.glob(".*.partial"):
        if left.is_dir() and time.time() - left.stat().st_mtime > _FORGOTTEN_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _storage(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written: {error.strerror or error}. Nothing was left half-written."
        ) from error
