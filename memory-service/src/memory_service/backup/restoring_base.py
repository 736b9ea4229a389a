"""Restore a full base backup of the embedded server: start it in a scratch folder first, then swap the data folders."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from memory_service.backup.base import unpack_base_backup
from memory_service.backup.restoring import Opened, row_counts
from memory_service.backup.server import BackupError, DatabaseServer, embedded_server
from memory_service.embedded import EmbeddedPostgres


def rehearse_base(server: DatabaseServer, backup: Opened) -> dict[str, int]:
    """Start the backed-up server in a scratch folder, count its rows and remove it again."""
    with _scratch_server(server, backup) as scratch, scratch:
        return row_counts(embedded_server(scratch))


def restore_base(server: DatabaseServer, backup: Opened) -> dict[str, int]:
    """Replace the embedded server's data with the backup's; returns the rows of every table.

    Raises:
        BackupError: the server is not embedded, or the restored one does not hold up; the data is as it was.
        EmbeddedPostgresError: the server is in use by another process.
    """
    ours = _embedded(server)
    with _scratch_server(server, backup) as scratch:
        with scratch:
            counts = row_counts(embedded_server(scratch))
        ours.stop()
        replaced = ours.replace_data(scratch.folder / "pgdata")
        try:
            ours.start()
            if row_counts(embedded_server(ours)) != counts:
                raise BackupError(
                    "The restored database does not hold the rows it held a moment ago. The old one is back."
                )
        except RuntimeError:
            ours.stop()
            shutil.rmtree(ours.replace_data(replaced))
            raise
    shutil.rmtree(replaced)
    return counts


def _embedded(server: DatabaseServer) -> EmbeddedPostgres:
    if server.embedded is None:
        raise BackupError(
            "This is a base backup of an embedded database, and DATABASE_URL names another server: unset it for this "
            "command, or restore a .dump."
        )
    return server.embedded


@contextmanager
def _scratch_server(server: DatabaseServer, backup: Opened) -> Iterator[EmbeddedPostgres]:
    """A stopped server with the backup's data, in a folder beside the real one."""
    ours = _embedded(server)
    scratch = EmbeddedPostgres(ours.folder.with_name(f"{ours.folder.name}.scratch"))
    if scratch.status().running:  # left by a restore that was killed
        scratch.start()
        scratch.stop()
    try:
        aside = scratch.folder / "unpacked"
        shutil.rmtree(aside, ignore_errors=True)
        scratch.replace_data(unpack_base_backup(backup.path, aside))
        yield scratch
    finally:
        shutil.rmtree(scratch.folder)
