"""Where an embedded database lives: the folder asked for, unless the user running it cannot get there."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from memory_service.embedded.account import Account, account_for
from memory_service.embedded.binaries import Binaries, EmbeddedPostgresError

log = logging.getLogger(__name__)

# Where system users may go on any Linux: the usual place for a service's state.
SYSTEM_FOLDER = Path("/var/lib/casiopy")


@dataclass(frozen=True)
class Placement:
    """The folder, programs and system user of one server."""

    folder: Path
    binaries: Binaries
    account: Account

    @property
    def pgdata(self) -> Path:
        """PostgreSQL's own data folder."""
        return self.folder / "pgdata"


def place(folder: Path, binaries: Binaries) -> Placement:
    """Decide where the database for `folder` lives and who runs it; makes the folder, and logs any detour.

    A database that exists stays where it is. Parents of `folder` are never changed.

    Raises:
        EmbeddedPostgresError: an existing database cannot be reached by the user who owns it.
    """
    folder = folder.absolute()
    detour = SYSTEM_FOLDER / hashlib.sha256(str(folder).encode()).hexdigest()[:16] / "postgres"
    lives_in_detour = not (folder / "pgdata").exists() and (detour / "pgdata").exists()
    chosen = detour if lives_in_detour else folder
    account = account_for(chosen / "pgdata")
    _make(chosen, account)
    if not account.can("-w", chosen):
        if (chosen / "pgdata").exists():
            raise EmbeddedPostgresError(
                f"The database in {chosen} belongs to the system user {account.name!r}, who cannot reach it any more. "
                "Give its parent folders back their permission to pass (chmod o+x), or move the checkout."
            )
        log.warning(
            "The system user %r cannot reach %s (a parent folder is closed to it): the database lives in %s",
            account.name, folder, detour,
        )  # fmt: skip
        chosen = detour
        _open_system_folder(detour.parent)
        _make(chosen, account)
    elif lives_in_detour:
        log.info("The database of %s lives in %s", folder, detour)
    return Placement(chosen, _reachable(binaries, account), account)


def _make(folder: Path, account: Account) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        account.take(folder)
    except PermissionError as refused:
        raise EmbeddedPostgresError(
            f"Cannot use {folder} for the database ({refused.strerror}). Make it yours (chown), or set CASIOPY_DATA."
        ) from refused


def _open_system_folder(folder: Path) -> None:
    """Make `folder`, SYSTEM_FOLDER or a folder in it, one that everybody may pass, whatever the umask."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in {SYSTEM_FOLDER, folder}:
        part.chmod(0o755)


def _reachable(binaries: Binaries, account: Account) -> Binaries:
    postgres = binaries.program("postgres")
    if account.can("-x", postgres):
        return binaries
    log.warning(
        "The system user %r cannot reach %s: the programs are copied to %s", account.name, postgres, SYSTEM_FOLDER
    )
    _open_system_folder(SYSTEM_FOLDER)
    return binaries.copied_to(SYSTEM_FOLDER)
