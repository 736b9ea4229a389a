"""Make one backup: write it aside, check it, give it its name in one step, then let the oldest go."""

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from memory_service.backup.base import take_base_backup
from memory_service.backup.catalog import Backup, Kind, expired, file_name, finished, parse
from memory_service.backup.sealing import seal, sha256_of
from memory_service.backup.server import BackupError, DatabaseServer
from memory_service.embedded.claim import exclusive

log = logging.getLogger(__name__)

# Dumps of a year of streams take seconds; who waits longer than this should know why.
_WAIT_SECONDS = 60.0


def make_backup(server: DatabaseServer, folder: Path, kind: Kind, *, recipient: str | None = None) -> Backup:
    """Back `server` up into `folder/<kind>/`, encrypted for `recipient` where given; returns the finished backup.

    A weekly backup of the embedded server is a full base backup; everything else is a dump of the database.

    Raises:
        BackupError: it did not work; nothing was added and nothing removed.
    """
    with _workplace(folder, kind) as aside:
        started = time.monotonic()
        base = kind == "weekly" and server.embedded is not None
        plain = take_base_backup(server, aside) if base else _dump(server, aside)
        ready = plain
        if recipient:
            ready = aside / "sealed"
            seal(plain, ready, recipient)
            plain.unlink()
        taken_at = _unused_second(folder / kind, kind)
        name = file_name(kind, taken_at, base=base, sealed=recipient is not None)
        path = _publish(ready, folder / kind / name)
        log.info(
            "Backed up %r to %s (%.1f MB, %.1f s)", server.database, path, _megabytes(path), time.monotonic() - started
        )
        made = parse(path)
        assert made is not None  # noqa: S101  (file_name and parse are each other's inverse)
        for old in expired(finished(folder), kind):
            old.path.unlink()
            old.checksum_path.unlink()
            log.info("Removed %s: newer ones cover its time", old.path.name)
        return made


@contextmanager
def _workplace(folder: Path, kind: Kind) -> Iterator[Path]:
    """A private folder on the same disk, for one backup at a time."""
    try:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        with exclusive(folder / ".lock", doing="writing a backup there", wait=_WAIT_SECONDS):
            for left_over in (folder / kind).glob(".partial-*"):
                shutil.rmtree(left_over)
            with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder / kind) as aside:
                yield Path(aside)
    except OSError as error:
        raise BackupError(f"Cannot write the backup to {folder / kind}: {error.strerror or error}.") from error


def _dump(server: DatabaseServer, aside: Path) -> Path:
    dump = aside / "dump"
    # Level 1: vectors hardly shrink at any level, and the default level takes four times as long.
    server.run("pg_dump", "-w", "--format=custom", "--compress=gzip:1", f"--file={dump}")
    if "TABLE DATA" not in server.run("pg_restore", "--list", dump):
        raise BackupError(
            f"The database {server.database!r} has no tables: there is nothing to back up. Start the service once "
            "(`casiopy serve`), or check DATABASE_URL and CASIOPY_DATA."
        )
    return dump


def _unused_second(folder: Path, kind: Kind) -> datetime:
    while True:
        now = datetime.now(UTC)
        if not list(folder.glob(f"{file_name(kind, now, base=False, sealed=False).partition('.')[0]}.*")):
            return now
        time.sleep(0.1)


def _publish(ready: Path, path: Path) -> Path:
    """Give a complete file its name. Its checksum is on disk before it, so that a named backup is a whole one."""
    sidecar = path.with_name(f"{path.name}.sha256")
    note = ready.with_name("checksum")
    note.write_text(f"{sha256_of(ready)}  {path.name}\n", encoding="utf-8")
    for file, name in ((note, sidecar), (ready, path)):
        file.chmod(0o600)
        _to_disk(file)
        file.replace(name)
    _to_disk(path.parent)
    return path


def _to_disk(path: Path) -> None:
    if os.name != "posix" and path.is_dir():  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _megabytes(path: Path) -> float:
    return path.stat().st_size / 1e6
