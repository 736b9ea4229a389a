"""A Casiopy of the tests' own: the real service as a process, on free ports, with folders of its own."""

import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx

ROOT = Path(__file__).parent.parent


@cache
def _own_ports() -> tuple[socket.socket, Iterator[int]]:
    """A hundred ports of this process's own, as long as it holds the first of them; the system gives none of them away."""
    for first in range(20_000, 32_000, 100):
        guard = socket.socket()
        with suppress(OSError):
            guard.bind(("127.0.0.1", first))
            return guard, itertools.cycle(range(first + 1, first + 100))
        guard.close()
    raise RuntimeError("no hundred ports from 20000 on are free")


def free_port() -> int:
    """A port nobody listens on, and that nobody else is given before a starting service takes it, seconds later."""
    _, ports = _own_ports()
    for port in itertools.islice(ports, 99):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("all ports of this process are taken")


@dataclass(frozen=True)
class Service:
    """A running memory service."""

    url: str
    environment: dict[str, str]


# Until a service answers, or has ended: some seconds, and a minute where the machine is slow and busy.
_STARTING_SECONDS = 200

# What an operator may have set: the tests bring their own model and keys, or none.
_OF_THE_OPERATOR = (
    "API_KEY",
    "ENCRYPTION_KEY",
    "CORS_ORIGINS",
    "LLM_BASE_URL",
    "LLM_MODEL",
    "LLM_API_KEY",
    "OPENAI_API_KEY",
    "AZURE_OPENAI_API_KEY",
    "AZURE_OPENAI_ENDPOINT",
    "AZURE_OPENAI_DEPLOYMENT",
    "AZURE_OPENAI_MODEL",
)


def environment_in(folder: Path) -> dict[str, str]:
    """Settings that keep everything inside `folder` and away from the default ports."""
    port = free_port()
    return {
        **os.environ,
        **dict.fromkeys(_OF_THE_OPERATOR, ""),
        "API_PORT": str(port),
        "DASHBOARD_PORT": str(free_port()),
        "MEMORY_SERVICE_URL": f"http://127.0.0.1:{port}",
        "CASIOPY_DATA": str(folder / "data"),
        "EXPORTS_DIR": str(folder / "exports"),
        "LORA_ADAPTERS_DIR": str(folder / "lora_adapters"),
        "OLLAMA_HOST": f"http://127.0.0.1:{free_port()}",
        "OMP_NUM_THREADS": "1",
    }


@contextmanager
def running_service(folder: Path, **settings: str) -> Iterator[Service]:
    """`casiopy serve`, started and stopped as an operator does; `settings` are further environment variables."""
    environment = {**environment_in(folder), **settings}
    url = environment["MEMORY_SERVICE_URL"]
    log = folder / "service.out"
    with log.open("wb") as sink:
        command = [sys.executable, "-m", "casiopy", "serve"]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=sink, stderr=subprocess.STDOUT)
        try:
            _await(process, url, log)
            yield Service(url, environment)
        finally:
            process.terminate()
            process.wait(_STARTING_SECONDS)


def _await(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + _STARTING_SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{url}/health", timeout=5).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"no answer within {_STARTING_SECONDS} s:\n{log.read_text()}")
