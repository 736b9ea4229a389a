"""One embedded PostgreSQL: its own data folder, reachable only by its user, shared by the processes that ask for it."""

import logging
import os
import secrets
import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self
from urllib.parse import quote

from memory_service.embedded.binaries import MAJOR, SUPERUSER, Binaries, EmbeddedPostgresError, find_binaries
from memory_service.embedded.claim import Claim, exclusive
from memory_service.embedded.configuration import DEFAULTS, render
from memory_service.embedded.placement import Placement, place
from memory_service.embedded.postmaster import Postmaster
from memory_service.embedded.sockets import free_port, socket_folder

log = logging.getLogger(__name__)

DATABASE = "casiopy"
# Part of the socket's name, never a port anybody else could hold: nothing listens on TCP outside Windows.
_SOCKET_PORT = 5432
# Where the data folder goes while another takes its place; start() puts it back if that was cut short.
_REPLACED = "pgdata.replaced"


@dataclass(frozen=True)
class Status:
    """What a server is doing right now."""

    running: bool
    ready: bool
    pid: int | None
    folder: Path
    version: str | None
    detail: str


class EmbeddedPostgres:
    """A PostgreSQL of our own under `data_dir`. Making the object starts nothing.

    Several processes may `start()` the same folder: they share one server, and the last one to `stop()` stops it.
    On Linux and macOS it listens on a unix socket in a folder only its user may enter; on Windows (written, never
    tried) on 127.0.0.1 with a password.

    Args:
        data_dir: folder of everything the server keeps; made when missing.
        settings: PostgreSQL settings on top of `configuration.DEFAULTS`, applied when this object starts the server.
            `{"fsync": "off"}` is for tests only: a crash may then lose the database.
    """

    def __init__(self, data_dir: Path, *, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        self._asked = data_dir.absolute()
        self._settings = {**DEFAULTS, **settings}
        self._placement: Placement | None = None
        self._claim: Claim | None = None

    def start(self) -> str:
        """Start the server, or join it where it runs; returns its SQLAlchemy URL for the superuser.

        Raises:
            EmbeddedPostgresError: it cannot run here; the message says why and what to do.
        """
        at = self._place()
        with self._exclusively(at):
            postmaster = self._postmaster(at)
            if not postmaster.await_ready():
                if not at.pgdata.exists() and (at.folder / _REPLACED).exists():
                    log.warning("A replacement of the database was interrupted: the old one is back")
                    (at.folder / _REPLACED).rename(at.pgdata)
                self._refuse_other_versions(at)
                if not (at.pgdata / "PG_VERSION").exists():
                    self._initialise(at)
                at.account.take(at.pgdata)
                self._configure(at)
                postmaster.launch(at.folder / "start.log")
            self._claim = self._claim or Claim(_owned(at, "users.lock"))
            self._claim.take()
            self._create_database(at)
        return self.url

    def stop(self) -> None:
        """Give the server up; it stops once nobody uses it."""
        if self._claim is None:
            return
        at = self._place()
        with self._exclusively(at):
            last = self._claim.give_up()
            self._claim = None
            if last:
                self._postmaster(at).stop()
            else:
                log.info("The database in %s stays up: another process uses it", at.folder)

    def status(self) -> Status:
        """Ask the server itself how it is."""
        at = self._place()
        version_file = at.pgdata / "PG_VERSION"
        version = version_file.read_text().strip() if version_file.exists() else None
        postmaster = self._postmaster(at)
        pid = postmaster.pid()
        ready = pid is not None and postmaster.accepts_connections()
        if version is None:
            detail = "not set up yet: it is made on first start"
        elif pid is None:
            detail = "stopped"
        else:
            detail = "accepts connections" if ready else "runs, but does not accept connections yet"
        return Status(pid is not None, ready, pid, at.folder, version, detail)

    def lives(self, pid: int) -> bool:
        """Whether the server's process that `status` named is still there; cheaper than asking the server."""
        return self._postmaster(self._place()).lives(pid)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the superuser on database `casiopy`. The server must run."""
        host, port, password = self._address()
        if password:
            return f"postgresql+asyncpg://{SUPERUSER}:{quote(password)}@{host}:{port}/{DATABASE}"
        return f"postgresql+asyncpg://{SUPERUSER}@/{DATABASE}?host={quote(host, safe='')}&port={port}"

    @property
    def folder(self) -> Path:
        """Where the server's files are: `data_dir`, or the place taken because its user cannot go there."""
        return self._place().folder

    @property
    def binaries(self) -> Binaries:
        """The programs that belong to this server: `binaries.program("pg_dump")`."""
        return self._place().binaries

    def psql_env(self, database: str = DATABASE) -> dict[str, str]:
        """Environment that makes psql, pg_dump and their kin talk to this server. The server must run."""
        host, port, password = self._address()
        secret = {"PGPASSWORD": password} if password else {}
        return _clean_environment() | {
            "PGHOST": host, "PGPORT": str(port), "PGUSER": SUPERUSER, "PGDATABASE": database,
        } | secret  # fmt: skip

    def psql(self, sql: str, *, database: str = DATABASE) -> str:
        """Run `sql` as the superuser; returns the unadorned rows.

        Raises:
            EmbeddedPostgresError: PostgreSQL refused it.
        """
        at = self._place()
        command: list[str | Path] = [
            at.binaries.program("psql"),
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            sql,
        ]
        return at.account.run(command, cwd=at.folder, env=self.psql_env(database)).stdout.strip()

    def replace_data(self, pgdata: Path) -> Path:
        """Put the data folder `pgdata` in place of this stopped server's; returns where the old one went, if any.

        Raises:
            EmbeddedPostgresError: the server runs.
        """
        at = self._place()
        with self._exclusively(at):
            if self._postmaster(at).pid() is not None:
                raise EmbeddedPostgresError(
                    f"The database in {at.folder} is in use by another process: stop the service, then try again."
                )
            incoming, replaced = at.folder / "pgdata.incoming", at.folder / _REPLACED
            shutil.rmtree(incoming, ignore_errors=True)
            shutil.move(pgdata, incoming)  # may come from another disk
            at.account.take(incoming)
            if at.pgdata.exists():
                shutil.rmtree(replaced, ignore_errors=True)
                at.pgdata.rename(replaced)
            incoming.rename(at.pgdata)
            return replaced

    def _place(self) -> Placement:
        if self._placement is None:
            self._placement = place(self._asked, find_binaries())
        return self._placement

    def _postmaster(self, at: Placement) -> Postmaster:
        return Postmaster(at, _clean_environment())

    @staticmethod
    def _exclusively(at: Placement) -> AbstractContextManager[None]:
        return exclusive(_owned(at, "server.lock"))

    def _address(self) -> tuple[str, int, str | None]:
        at = self._place()
        address = self._postmaster(at).address()
        if address is None:
            raise EmbeddedPostgresError(f"The database in {at.folder} is not running: start it first.")
        password = (at.folder / "password").read_text() if sys.platform == "win32" else None
        return (*address, password)

    @staticmethod
    def _refuse_other_versions(at: Placement) -> None:
        version_file = at.pgdata / "PG_VERSION"
        if not version_file.exists():
            return
        found = version_file.read_text().strip()
        if found != MAJOR:
            raise EmbeddedPostgresError(
                f"The database in {at.pgdata} was made by PostgreSQL {found}; this installation carries {MAJOR} and "
                "does not touch it. Install the Casiopy that made it, run `casiopy backup daily`, then move "
                f"{at.folder} away and restore that backup with this one."
            )

    @staticmethod
    def _initialise(at: Placement) -> None:
        """Make the data folder under another name first: a half-made one never looks finished."""
        started = time.monotonic()
        partial = at.folder / "pgdata.partial"
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(at.pgdata, ignore_errors=True)
        command: list[str | Path] = [
            at.binaries.program("initdb"), "-D", partial, "-U", SUPERUSER, "-E", "UTF8", "--no-instructions",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C",
        ]  # fmt: skip
        if sys.platform == "win32":
            password = at.folder / "password"
            password.write_text(secrets.token_urlsafe(24))
            command += ["-A", "scram-sha-256", f"--pwfile={password}"]
        else:
            command += ["-A", "trust"]
        at.account.run(command, cwd=at.folder, env=_clean_environment())
        with (partial / "postgresql.conf").open("a") as config:
            config.write("\ninclude = 'casiopy.conf'\n")
        partial.rename(at.pgdata)
        log.info("Made a new database in %s (%.1f s)", at.pgdata, time.monotonic() - started)

    def _configure(self, at: Placement) -> None:
        if sys.platform == "win32":
            where = {"listen_addresses": "127.0.0.1", "port": str(free_port())}
        else:
            folder = socket_folder(at, _SOCKET_PORT)
            where = {
                "listen_addresses": "", "port": str(_SOCKET_PORT),
                "unix_socket_directories": str(folder), "unix_socket_permissions": "0700",
            }  # fmt: skip
        path = at.pgdata / "casiopy.conf"
        path.write_text(render(self._settings | where), encoding="utf-8")
        at.account.take(path)

    def _create_database(self, at: Placement) -> None:
        if DATABASE not in self.psql("SELECT datname FROM pg_database", database="postgres").splitlines():
            self.psql(f"CREATE DATABASE {DATABASE}", database="postgres")
            log.info("Created the database %r in %s", DATABASE, at.folder)


def _owned(at: Placement, name: str) -> Path:
    path = at.folder / name
    path.touch(exist_ok=True)
    at.account.take(path)
    return path


def _clean_environment() -> dict[str, str]:
    """Our environment without what would lead PostgreSQL's programs elsewhere or make them speak another language."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_"))}
    return kept | {"LC_ALL": "C"}
