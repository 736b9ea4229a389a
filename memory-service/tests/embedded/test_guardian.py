"""A server that dies under its users comes back by itself, with everything it had promised to keep."""

import os
import signal
import time
from pathlib import Path

from memory_service.embedded import EmbeddedPostgres
from memory_service.embedded.guardian import Guardian


def test_a_killed_server_is_started_again(open_folder: Path) -> None:
    with EmbeddedPostgres(open_folder / "guarded") as server, Guardian(server, every=0.1):
        server.psql("CREATE TABLE kept AS SELECT 42 AS answer")
        killed = server.status().pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while (status := server.status()).pid in {None, killed} or not status.ready:
            assert time.monotonic() < deadline, status
            time.sleep(0.1)
        assert server.psql("SELECT answer FROM kept") == "42"
    assert not server.status().running


def test_a_server_that_is_given_up_is_left_alone(open_folder: Path) -> None:
    server = EmbeddedPostgres(open_folder / "given-up")
    with server, Guardian(server, every=0.05):
        time.sleep(0.3)
    time.sleep(0.3)
    assert not server.status().running
