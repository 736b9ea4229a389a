"""Who uses a server, kept by the kernel: locks vanish with their process, lists of process ids do not."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from memory_service.embedded.binaries import EmbeddedPostgresError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

# Longest another process may be busy starting or stopping the same server; crash recovery included.
LOCK_WAIT_SECONDS = 200.0


@contextmanager
def exclusive(
    path: Path, *, doing: str = "starting or stopping the database", wait: float = LOCK_WAIT_SECONDS
) -> Iterator[None]:
    """Be the only process doing something while the block runs; waits up to `wait` seconds for the others.

    Raises:
        EmbeddedPostgresError: another process held the lock all that time.
    """
    deadline = time.monotonic() + wait
    with path.open("ab") as file:
        while not _lock(file, shared=False):
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"Another process has been {doing} for {wait:.0f} s (lock {path}). "
                    "Let it finish or stop it, then try again."
                )
            time.sleep(0.05)
        yield


class Claim:
    """A shared claim on a running server: the last one to give it up knows that it was the last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def take(self) -> None:
        """Say that this process uses the server."""
        if self._file is None:
            self._file = self._path.open("ab")
            _lock(self._file, shared=True)

    def give_up(self) -> bool:
        """Drop the claim; returns whether nobody else has one."""
        if self._file is not None:
            self._file.close()
            self._file = None
        with self._path.open("ab") as file:
            return _lock(file, shared=False)


def _lock(file: IO[bytes], *, shared: bool) -> bool:
    """Try to lock `file` until it is closed. Windows knows no shared locks: there, the first claim is the only one."""
    try:
        if sys.platform == "win32":
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
