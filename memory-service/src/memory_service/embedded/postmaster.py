"""The server process: is it ours, does it answer, start it, stop it. A bare process id is never believed."""

import logging
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from memory_service.embedded.account import TIMEOUT_SECONDS
from memory_service.embedded.binaries import SUPERUSER, EmbeddedPostgresError
from memory_service.embedded.placement import Placement

log = logging.getLogger(__name__)

# After a kill -9 the children notice the missing parent by themselves, within milliseconds; a busy one takes longer.
_ORPHANS_SECONDS = 30.0
# Lines of postmaster.pid, as documented in PostgreSQL's miscadmin.h.
_PID, _PORT, _SOCKET_FOLDER, _ADDRESS = 0, 3, 4, 5
# Linux only.
_PROCESSES = Path("/proc")


class Postmaster:
    """PostgreSQL's main process on one data folder."""

    def __init__(self, at: Placement, env: Mapping[str, str]) -> None:
        self._at = at
        self._env = env
        self._pid_file = at.pgdata / "postmaster.pid"

    def pid(self) -> int | None:
        """Its process id, if that process is alive and works on this data folder."""
        lines = self._pid_lines()
        if not lines or not lines[_PID].strip().isdigit() or not self._says_running():
            return None
        claimed = int(lines[_PID])
        return claimed if claimed in set(_processes_on(self._at.pgdata, claimed)) else None

    def lives(self, pid: int) -> bool:
        """Whether the process that `pid` named is still there. On Linux no program is started to find out."""
        if (_PROCESSES / "self" / "cwd").exists():
            return _works_on(_PROCESSES / str(pid), self._at.pgdata.resolve())
        return self.pid() == pid

    def address(self) -> tuple[str, int] | None:
        """(socket folder or host, port) of the running server."""
        lines = self._pid_lines()
        if len(lines) <= _ADDRESS:
            return None
        host = lines[_ADDRESS].strip() if sys.platform == "win32" else lines[_SOCKET_FOLDER].strip()
        return host, int(lines[_PORT])

    def accepts_connections(self) -> bool:
        """Whether the server answers a connection request."""
        address = self.address()
        if address is None:
            return False
        host, port = address
        command: list[str | Path] = [
            self._at.binaries.program("pg_isready"),
            "-q",
            "-t",
            "5",
            "-h",
            host,
            "-p",
            str(port),
        ]
        command += ["-U", SUPERUSER, "-d", "postgres"]
        return self._run(command, check=False).returncode == 0

    def await_ready(self) -> bool:
        """Wait for a server that runs or is coming up; False, with leftovers removed, when none does.

        Raises:
            EmbeddedPostgresError: it runs and does not answer, or processes of a killed one do not end.
        """
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while self.pid() is not None:
            if self.accepts_connections():
                return True
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"PostgreSQL in {self._at.pgdata} runs but has not answered for {TIMEOUT_SECONDS:.0f} s. "
                    f"Its log is in {self._at.folder / 'log'}."
                )
            time.sleep(0.1)
        if self._pid_file.exists():
            self._remove_leftovers()
        return False

    def launch(self, start_log: Path) -> None:
        """Start the server and wait until it answers.

        Raises:
            EmbeddedPostgresError: it did not come up; the message ends with its log.
        """
        started = time.monotonic()
        start_log.write_text("")
        self._at.account.take(start_log)
        logs = self._at.folder / "log"
        logs.mkdir(exist_ok=True)
        self._at.account.take(logs)
        seconds = str(int(TIMEOUT_SECONDS) - 10)
        done = self._run([*self._pg_ctl(), "start", "-w", "-s", "-t", seconds, "-l", start_log], check=False)
        if done.returncode or not self.accepts_connections():
            raise EmbeddedPostgresError(
                f"PostgreSQL did not start in {self._at.pgdata}: {done.stderr.strip()}\n{_last_lines(start_log, logs)}"
            )
        log.info("PostgreSQL runs in %s (%.1f s)", self._at.folder, time.monotonic() - started)

    def stop(self) -> None:
        """Stop the server, ending what its clients were doing; harmless when it does not run.

        Raises:
            EmbeddedPostgresError: it did not stop.
        """
        if self.pid() is None:
            return
        self._run([*self._pg_ctl(), "stop", "-w", "-s", "-m", "fast", "-t", "60"])
        log.info("PostgreSQL in %s stopped", self._at.folder)

    def _remove_leftovers(self) -> None:
        """Remove the pid file of a killed server, once none of its processes is left."""
        deadline = time.monotonic() + _ORPHANS_SECONDS
        while left := list(_processes_on(self._at.pgdata, None)):
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"PostgreSQL in {self._at.pgdata} was killed, but processes of it still run ({left}). "
                    "End them, then start again."
                )
            time.sleep(0.05)
        log.warning(
            "PostgreSQL in %s was killed: its stale postmaster.pid is removed, it recovers now", self._at.pgdata
        )
        address = self.address()
        if address and sys.platform != "win32":
            # The folder is private to this server, so the socket's lock names the same dead process.
            for left_over in Path(address[0]).glob(f".s.PGSQL.{address[1]}*"):
                left_over.unlink()
        self._pid_file.unlink(missing_ok=True)

    def _says_running(self) -> bool:
        return self._run([*self._pg_ctl(), "status"], check=False).returncode == 0

    def _pg_ctl(self) -> list[str | Path]:
        return [self._at.binaries.program("pg_ctl"), "-D", self._at.pgdata]

    def _run(self, command: list[str | Path], *, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self._at.account.run(command, cwd=self._at.folder, env=self._env, check=check)

    def _pid_lines(self) -> list[str]:
        try:
            return self._pid_file.read_text(errors="replace").splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return []


def _works_on(process: Path, pgdata: Path) -> bool:
    return _link(process / "cwd") == pgdata and _link(process / "exe").name.startswith("postgres")


def _processes_on(pgdata: Path, claimed: int | None) -> Iterator[int]:
    """Ids of PostgreSQL processes working on `pgdata`: each has it as its working folder, and no other program does.

    Where processes cannot be looked at (Windows), `claimed` is believed and the answer of pg_isready decides.
    """
    if (_PROCESSES / "self" / "cwd").exists():
        folder = pgdata.resolve()
        for entry in _PROCESSES.iterdir():
            if entry.name.isdigit() and _works_on(entry, folder):
                yield int(entry.name)
    elif sys.platform == "darwin":
        listing = subprocess.run(["ps", "-axww", "-o", "pid=,command="], capture_output=True, text=True, check=True)
        for line in listing.stdout.splitlines():
            pid, _, command = line.strip().partition(" ")
            if str(pgdata) in command and "postgres" in command:
                yield int(pid)
    elif claimed is not None:
        yield claimed


def _link(path: Path) -> Path:
    try:
        return path.readlink()
    except OSError:  # ended meanwhile, a zombie, or not ours to look at
        return Path()


def _last_lines(*places: Path) -> str:
    """The end of the newest log among files and folders of `places`."""
    files = [file for place in places for file in ([place] if place.is_file() else place.glob("*.log"))]
    newest = max((file for file in files if file.stat().st_size), key=lambda file: file.stat().st_mtime, default=None)
    return "\n".join(newest.read_text(errors="replace").splitlines()[-15:]) if newest else ""
