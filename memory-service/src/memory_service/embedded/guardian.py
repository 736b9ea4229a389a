"""Brings an embedded server back when it dies while somebody still uses it."""

import logging
import threading
from types import TracebackType
from typing import Self

from memory_service.embedded.binaries import EmbeddedPostgresError
from memory_service.embedded.server import EmbeddedPostgres

log = logging.getLogger(__name__)

# Recovery itself takes one to three seconds (measured after kill -9); looking more often would gain little.
_LOOK_EVERY_SECONDS = 2.0


class Guardian:
    """Watches a started server from a thread of its own, for as long as the block runs."""

    def __init__(self, server: EmbeddedPostgres, *, every: float = _LOOK_EVERY_SECONDS) -> None:
        self._server = server
        self._every = every
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="embedded-postgres-guardian", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        pid: int | None = None
        while not self._done.wait(self._every):
            if pid is not None and self._server.lives(pid):
                continue
            pid = self._server.status().pid
            if pid is not None:
                continue
            log.error("The embedded PostgreSQL has died; starting it again")
            try:
                self._server.start()
            except EmbeddedPostgresError as error:
                log.error("It does not start: %s", error)
