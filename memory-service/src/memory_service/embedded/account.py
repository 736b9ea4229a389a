"""Who runs the server: the current user, or, as PostgreSQL refuses root, an unprivileged system user."""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from memory_service.embedded.binaries import EmbeddedPostgresError

log = logging.getLogger(__name__)

SYSTEM_USER = "casiopy"
# Longest a start may take: crash recovery replays at most max_wal_size (1 GB), seconds even on slow disks.
TIMEOUT_SECONDS = 180.0


@dataclass(frozen=True)
class Account:
    """A system user; `uid` is None where programs run as whoever started us."""

    name: str
    uid: int | None = None
    gid: int | None = None

    def run(
        self, command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run `command` as this user and return what it said.

        Raises:
            EmbeddedPostgresError: it failed (and `check`), or took longer than TIMEOUT_SECONDS.
        """
        line = [str(part) for part in command]
        try:
            done = subprocess.run(
                line, cwd=cwd, env=dict(env), text=True, errors="replace", stdin=subprocess.DEVNULL,
                capture_output=True, timeout=TIMEOUT_SECONDS, check=False,
                user=self.uid, group=self.gid, extra_groups=None if self.uid is None else (),
            )  # fmt: skip
        except subprocess.TimeoutExpired as late:
            name = Path(line[0]).name
            raise EmbeddedPostgresError(f"{name} did not finish within {TIMEOUT_SECONDS:.0f} s") from late
        if check and done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise EmbeddedPostgresError(f"{Path(line[0]).name} failed (exit {done.returncode}): {said}")
        return done

    def can(self, *test: str | Path) -> bool:
        """Whether the `test` program says yes when this user asks, e.g. `can("-w", folder)`."""
        if self.uid is None:
            return True
        return self.run(["test", *test], cwd=Path("/"), env={"PATH": os.defpath}, check=False).returncode == 0

    def take(self, folder: Path) -> None:
        """Make `folder` (or a file) and everything in it belong to this user, unless it does already."""
        if self.uid is None or self.gid is None or folder.lstat().st_uid == self.uid:
            return
        for parent, folders, files in os.walk(folder):
            for name in (*folders, *files):
                os.chown(Path(parent) / name, self.uid, self.gid, follow_symlinks=False)
        os.chown(folder, self.uid, self.gid)


def account_for(pgdata: Path) -> Account:
    """The user the server on `pgdata` runs as: its owner where it exists, else ourselves or the system user.

    Raises:
        EmbeddedPostgresError: the folder belongs to someone we cannot act as, or no system user can be had.
    """
    if sys.platform == "win32":
        return Account(os.environ.get("USERNAME", "user"))
    owner = _owner(pgdata)
    if os.geteuid() != 0:
        if owner is not None and owner != os.geteuid():
            raise EmbeddedPostgresError(
                f"The database in {pgdata} belongs to another user ({_name(owner)}): it was probably started as root "
                f"once. Start it as root again, or hand it over: sudo chown -R $(id -u) {pgdata.parent}"
            )
        return Account(_name(os.geteuid()))
    if owner:
        return Account(_name(owner), owner, pgdata.stat().st_gid)
    return _system_account()


def _owner(pgdata: Path) -> int | None:
    try:
        return pgdata.stat().st_uid
    except (FileNotFoundError, NotADirectoryError):
        return None


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _system_account() -> Account:
    """`casiopy`, made when missing; `postgres` where making it fails."""
    import pwd

    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    if SYSTEM_USER not in known and _make_system_user():
        known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in (SYSTEM_USER, "postgres"):
        if name in known and known[name].pw_uid != 0:
            log.info("PostgreSQL refuses to run as root: it runs as the system user %r", name)
            return Account(name, known[name].pw_uid, known[name].pw_gid)
    raise EmbeddedPostgresError(
        f"PostgreSQL refuses to run as root and no system user {SYSTEM_USER!r} could be made. Run "
        f"`useradd --system {SYSTEM_USER}` once, start Casiopy as an ordinary user, or set DATABASE_URL."
    )


def _make_system_user() -> bool:
    useradd = shutil.which("useradd", path=f"{os.defpath}:/usr/sbin:/sbin")
    if useradd is None:
        return False
    command = [useradd, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        log.warning("useradd could not make the system user %r: %s", SYSTEM_USER, done.stderr.strip())
    return done.returncode == 0
