"""A dashboard under test: its application, its folders, and real servers around it."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask import Flask
from persona_dashboard.settings import Settings
from playwright.sync_api import Page
from service_stand_in import StandIn
from waitress import wasyncore
from waitress.server import create_server

# Nothing listens there: IANA reserves port 9 (discard), and no system of today starts it.
NOBODY = "http://127.0.0.1:9"
# Below what systems hand out by themselves (32768 and up on Linux, 49152 elsewhere): no connection of another process takes
# a port from here between its choice and its use.
PORTS = range(20_000, 32_000)


@dataclass
class House:
    """A dashboard, its folders and the service it asks."""

    app: Flask
    exports: Path
    adapters: Path
    service: StandIn | None = None


def settings(exports: Path, adapters: Path, service_url: str = NOBODY, **more: object) -> Settings:
    """Settings that ignore this machine's environment and .env."""
    values = {"memory_service_url": service_url, "exports_dir": exports, "lora_adapters_dir": adapters, **more}
    return Settings(_env_file=None, **values)  # type: ignore[arg-type]


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """The application behind waitress on a free port."""
    sockets: dict[int, Any] = {}
    server = create_server(app, host="127.0.0.1", port=0, map=sockets, threads=16, channel_request_lookahead=1)
    stopping = threading.Event()

    def answer() -> None:
        while not stopping.is_set():
            wasyncore.loop(timeout=0.05, map=sockets, use_poll=True, count=1)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        app.extensions["persona_dashboard"].streams.stop()
        server.task_dispatcher.shutdown()
        stopping.set()
        thread.join(10)
        wasyncore.close_all(sockets)  # last: until now a worker or the loop might have used them


@contextmanager
def dashboard_process(house: House, port: int) -> Iterator[subprocess.Popen[str]]:
    """`python -m persona_dashboard`, ready to answer, stopped by SIGTERM."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(Path(__file__).parents[1] / "src"),
        "DASHBOARD_PORT": str(port),
        "MEMORY_SERVICE_URL": house.service.url if house.service else NOBODY,
        "EXPORTS_DIR": str(house.exports),
        "LORA_ADAPTERS_DIR": str(house.adapters),
    }
    command = [sys.executable, "-m", "persona_dashboard"]
    process = subprocess.Popen(
        command, env=environment, cwd=house.exports.parent, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        wait_for(lambda: httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).is_success)
        yield process
    finally:
        process.terminate()
        process.wait(60)


def wait_for(happened: Callable[[], bool], seconds: float = 60.0) -> None:
    """Poll until it happened; a connection refused counts as not yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if happened():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    pytest.fail(f"did not happen within {seconds:g} s")


def free_port() -> int:
    """A port nobody listens on, and nobody is given by chance."""
    for port in random.SystemRandom().sample(PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    pytest.fail(f"a hundred ports of {PORTS} are taken")


@dataclass
class Watched:
    """A browser page and everything its console said."""

    page: Page
    complaints: list[str]
