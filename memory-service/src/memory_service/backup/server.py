"""The database to back up or restore, and the PostgreSQL programs that fit it."""

import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from memory_service.db import normal_url
from memory_service.embedded import EmbeddedPostgres, EmbeddedPostgresError
from memory_service.embedded.binaries import find_binaries
from memory_service.settings import Settings

log = logging.getLogger(__name__)

# Row-level security must never hide rows from a backup: with this, PostgreSQL refuses instead.
_EVERY_ROW = "-c row_security=off"
# sslmode values with which an unencrypted connection is acceptable (libpq's default is `prefer`).
_PLAIN_IS_FINE = frozenset({"", "disable", "allow", "prefer", "false"})


class BackupError(RuntimeError):
    """A backup or restore did not happen; the message says why, what is untouched, and what to do."""


@dataclass(frozen=True)
class DatabaseServer:
    """A reachable PostgreSQL: `env` leads its programs to `database`; `embedded` is set where the server is ours."""

    env: Mapping[str, str]
    database: str
    program: Callable[[str], Path]
    embedded: EmbeddedPostgres | None = None

    def run(self, name: str, *arguments: str | Path, database: str | None = None) -> str:
        """Run one of PostgreSQL's programs against this server; returns its output.

        Raises:
            BackupError: it failed; the message carries what it said.
        """
        line = [str(self.program(name)), *map(str, arguments)]
        env = {**self.env, "PGDATABASE": database or self.database}
        done = subprocess.run(
            line, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode:
            raise BackupError(f"{name} failed: {done.stderr.strip() or f'exit {done.returncode}'}")
        return done.stdout

    def psql(self, sql: str, *, database: str | None = None) -> str:
        """Run `sql`, all of it or nothing; returns its rows, columns separated by `|`."""
        options = ("-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1")
        return self.run("psql", *options, "-c", sql, database=database).strip()


@contextmanager
def database_server(settings: Settings) -> Iterator[DatabaseServer]:
    """The configured database for as long as the block runs; starts the embedded server where that is the one.

    Raises:
        BackupError: DATABASE_URL is no PostgreSQL URL, or the programs are missing.
        EmbeddedPostgresError: the embedded server cannot run.
    """
    if settings.database_url is not None:
        try:
            yield server_at(settings.database_url.get_secret_value())
        except ValueError as error:
            raise BackupError(str(error)) from None
        return
    with EmbeddedPostgres(settings.casiopy_data / "postgres") as embedded:
        yield embedded_server(embedded)


def embedded_server(embedded: EmbeddedPostgres) -> DatabaseServer:
    """The running embedded server."""
    env = embedded.psql_env() | {"PGOPTIONS": _EVERY_ROW}
    return DatabaseServer(env, env["PGDATABASE"], embedded.binaries.program, embedded)


def server_at(url: str) -> DatabaseServer:
    """The server DATABASE_URL names. Its password travels in the environment, never on a command line.

    Raises:
        ValueError: not a PostgreSQL URL.
        BackupError: no client programs here.
    """
    parsed = normal_url(url)
    query = {name: value for name, value in parsed.query.items() if isinstance(value, str)}
    sslmode = query.get("sslmode") or query.get("ssl") or ""
    named = {
        "PGHOST": parsed.host or query.get("host"),
        "PGPORT": str(parsed.port or query.get("port") or 5432),
        "PGUSER": parsed.username,
        "PGPASSWORD": parsed.password,
        "PGSSLMODE": sslmode if sslmode not in {"", "true", "false"} else None,
        "PGSSLROOTCERT": query.get("sslrootcert"),
    }
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_"))}
    env = clean | {key: str(value) for key, value in named.items() if value} | {"LC_ALL": "C", "PGOPTIONS": _EVERY_ROW}
    database = parsed.database or parsed.username or "postgres"
    return DatabaseServer(env | {"PGDATABASE": database}, database, _client_programs(tls=sslmode not in _PLAIN_IS_FINE))


def _client_programs(*, tls: bool) -> Callable[[str], Path]:
    """The wheel's programs, or those on PATH where the wheel is missing or the connection must be encrypted."""
    try:
        if not tls:
            return find_binaries().program
        log.info("Using PostgreSQL's programs from PATH: DATABASE_URL asks for TLS, which the packaged ones cannot do")
    except EmbeddedPostgresError:
        log.info("Using PostgreSQL's programs from PATH: the packaged ones are not installed")
    return _from_path


def _from_path(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        raise BackupError(
            f"{name} is not here. Install PostgreSQL's client programs, as new as the server, or run "
            "`pip install 'casiopy-memory-service[embedded]'`."
        )
    return Path(found)
