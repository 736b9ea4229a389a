"""Restore into a scratch database first, count its rows, and only then let it take the place of the old one."""

import logging
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from memory_service.backup.catalog import parse
from memory_service.backup.sealing import check_against_sidecar, unseal
from memory_service.backup.server import BackupError, DatabaseServer
from memory_service.db import SERVICE_ROLE

log = logging.getLogger(__name__)

RowCounts = Mapping[str, int]
# Tables that hold rows in a database nobody has used yet.
_NOT_CONTENT = ("alembic_version", "pgqueuer")
# A client that has just left is still listed while the server says goodbye to it.
_GOODBYE_SECONDS = 2.0
_OTHER_SESSIONS = """
    SELECT coalesce(nullif(application_name, ''), 'unnamed') FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


@dataclass(frozen=True)
class Opened:
    """A backup made ready to restore: checked, and decrypted where it was encrypted."""

    path: Path
    base: bool
    aside: Path


@contextmanager
def opened(path: Path, identity_file: Path | None) -> Iterator[Opened]:
    """Check `path` and open it; what had to be decrypted is removed at the end.

    Raises:
        BackupError: no such file, damaged, or encrypted for another key.
    """
    if not path.is_file():
        near = sorted(file.name for file in path.parent.glob("memory_*") if parse(file)) if path.parent.is_dir() else []
        there = f" In {path.parent}: {', '.join(near[-3:])}." if near else ""
        raise BackupError(f"There is no backup {path}.{there}")
    sidecar = path.with_name(f"{path.name}.sha256")
    if sidecar.exists():
        check_against_sidecar(path, sidecar)
    else:
        log.warning("%s has no checksum beside it: only its structure can be checked", path)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=path.parent) as aside:
        plain, name = path, path.name
        if name.endswith(".age"):
            plain, name = Path(aside) / "opened", name.removesuffix(".age")
            unseal(path, plain, identity_file)
        yield Opened(plain, base=name.endswith(".tar"), aside=Path(aside))


def row_counts(server: DatabaseServer, database: str | None = None) -> dict[str, int]:
    """Rows of every table of `database`, counted one by one."""
    listed = server.psql("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1", database=database)
    if not listed:
        return {}
    # Table names come from the database itself and are quoted.
    each = [f"SELECT {_text(table)}, count(*) FROM public.{_name(table)}" for table in listed.splitlines()]  # noqa: S608
    lines = server.psql(" UNION ALL ".join(each), database=database).splitlines()
    return {table: int(rows) for table, rows in (line.rsplit("|", 1) for line in lines)}


def content(counts: RowCounts) -> dict[str, int]:
    """The part of `counts` that somebody would miss."""
    return {table: rows for table, rows in counts.items() if rows and not table.startswith(_NOT_CONTENT)}


def refuse_while_used(server: DatabaseServer) -> None:
    """Nobody else may be connected to the database that is to be replaced.

    Raises:
        BackupError: somebody is.
    """
    deadline = time.monotonic() + _GOODBYE_SECONDS
    while others := server.psql(_OTHER_SESSIONS).splitlines():
        if time.monotonic() < deadline:
            time.sleep(0.1)
            continue
        raise BackupError(
            f"The database {server.database!r} is in use ({len(others)} connections: {', '.join(sorted(set(others)))}). "
            "Stop the memory service and its worker, then restore again. Nothing was changed."
        )


def restore_dump(server: DatabaseServer, dump: Path) -> dict[str, int]:
    """Replace the database with `dump`; returns the rows of every table. The old one goes once the new one stands.

    Raises:
        BackupError: it did not work; the database is as it was.
    """
    refuse_while_used(server)
    old = f"{server.database}_before_restore"
    with _scratch_database(server, dump, "restoring") as scratch:
        counts = row_counts(server, scratch)
        _maintain(server, f"DROP DATABASE IF EXISTS {_name(old)}")
        # Both names change in one transaction: there is no moment without a database.
        _maintain(
            server,
            f"ALTER DATABASE {_name(server.database)} RENAME TO {_name(old)}; "
            f"ALTER DATABASE {_name(scratch)} RENAME TO {_name(server.database)}",
        )
    if row_counts(server) != counts:
        raise BackupError(
            f"The restored database changed while it was put in place. The old one is still there: {old}."
        )
    _maintain(server, f"DROP DATABASE {_name(old)}")
    return counts


def rehearse_dump(server: DatabaseServer, dump: Path) -> dict[str, int]:
    """Restore `dump` into a scratch database, count its rows and drop it again."""
    with _scratch_database(server, dump, "rehearsal") as scratch:
        return row_counts(server, scratch)


@contextmanager
def _scratch_database(server: DatabaseServer, dump: Path, purpose: str) -> Iterator[str]:
    scratch = f"{server.database[:40]}_{purpose}"
    listing = server.run("pg_restore", "--list", dump)
    if "TABLE DATA" not in listing:
        raise BackupError(f"{dump.name} holds no tables. Use another backup.")
    _maintain(server, f"DROP DATABASE IF EXISTS {_name(scratch)}")
    _maintain(server, f"CREATE DATABASE {_name(scratch)} TEMPLATE template0")
    try:
        _make_service_role(server)
        # Owners differ between servers and are left out; the grants to the service's role are kept.
        server.run("pg_restore", "-w", "--exit-on-error", "--no-owner", "--jobs=2", f"--dbname={scratch}", dump)
        server.psql("ANALYZE", database=scratch)
        yield scratch
    finally:
        _maintain(server, f"DROP DATABASE IF EXISTS {_name(scratch)}")


def _make_service_role(server: DatabaseServer) -> None:
    """Dumps grant to the role but cannot hold it: roles belong to the server."""
    if SERVICE_ROLE not in server.psql("SELECT rolname FROM pg_roles").splitlines():
        server.psql(
            f"CREATE ROLE {SERVICE_ROLE} NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE; "
            f"GRANT {SERVICE_ROLE} TO current_user"
        )


def _maintain(server: DatabaseServer, sql: str) -> None:
    server.psql(sql, database="postgres")


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
