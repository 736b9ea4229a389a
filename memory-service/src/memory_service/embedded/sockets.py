"""Where a server listens: a private folder short enough for a unix socket, or a free port on Windows."""

import hashlib
import os
import socket
import tempfile
from pathlib import Path

from memory_service.embedded.binaries import EmbeddedPostgresError
from memory_service.embedded.placement import Placement

# The kernel takes 107 bytes on Linux and 103 on macOS; PostgreSQL also writes a longer lock file beside the socket.
_LONGEST_PATH = 100


def socket_folder(at: Placement, port: int) -> Path:
    """The folder of the server's socket, mode 0700: below its own, or a short one where that path is too long.

    Raises:
        EmbeddedPostgresError: somebody else made a folder of that name.
    """
    folder = at.folder / "run"
    if len(os.fsencode(folder / f".s.PGSQL.{port}")) > _LONGEST_PATH:
        digest = hashlib.sha256(os.fsencode(at.folder)).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"casiopy-{digest}"
    if not folder.exists():
        folder.mkdir(mode=0o700)
        at.account.take(folder)
    wanted = os.geteuid() if at.account.uid is None else at.account.uid
    found = folder.lstat()
    if found.st_uid != wanted or folder.is_symlink():
        raise EmbeddedPostgresError(
            f"{folder} should belong to {at.account.name!r} and does not: remove it, or set TMPDIR to another folder."
        )
    folder.chmod(0o700)
    return folder


def free_port() -> int:
    """A TCP port nobody listens on at 127.0.0.1 right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
