"""The service and the dashboard as two child processes: started in order, watched, stopped in reverse."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

import httpx
from dotenv import dotenv_values
from rich.console import Console

# The first start makes the database (2-3 s measured on 2 cores); slow disks get twenty times that.
_START_SECONDS = 60.0
_STOP_SECONDS = 15.0


class StackError(Exception):
    """A part does not start or has died; the message says which and where its log is."""


@dataclass
class Part:
    """One child process."""

    name: str
    command: list[str]
    url: str
    probe: str
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    sink: IO[bytes] | None = field(default=None, repr=False)

    def start(self, root: Path, environment: dict[str, str]) -> None:
        """Start it in a session of its own: Ctrl-C reaches us alone, and we stop the parts in order."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.sink = self.log.open("ab")
        self.process = subprocess.Popen(
            self.command,
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self.sink,
            stderr=subprocess.STDOUT,
            start_new_session=sys.platform != "win32",
            creationflags=_creation_flags(),
        )

    def await_answer(self) -> float:
        """Seconds until it answered with success.

        Raises:
            StackError: it died, or took longer than a minute.
        """
        started = time.monotonic()
        while time.monotonic() - started < _START_SECONDS:
            self.require_alive()
            try:
                if httpx.get(self.url + self.probe, timeout=5).is_success:
                    return time.monotonic() - started
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise StackError(f"{self.name} did not answer within {_START_SECONDS:.0f} s. Its log: {self.log}")

    def require_alive(self) -> None:
        """Raises StackError, with the end of its log, when it has stopped by itself."""
        if self.process is None or self.process.poll() is None:
            return
        tail = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-6:]
        raise StackError(
            f"{self.name} stopped (exit code {self.process.returncode}). The end of {self.log}:\n  " + "\n  ".join(tail)
        )

    def stop(self) -> None:
        """Ask it to stop, and insist after a while."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.sink is not None:
            self.sink.close()


class Stack:
    """Casiopy on this machine, in the checkout `root`. Ports and folders come from the environment, then from `.env`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.console = Console(highlight=False)
        self.begun = time.monotonic()
        # The parts read `.env` themselves; what the environment says goes before it, for them as for us.
        settings = {key: value for key, value in dotenv_values(root / ".env").items() if value} | dict(os.environ)
        self.data = root / (settings.get("CASIOPY_DATA") or ".casiopy")
        self.exports = root / (settings.get("EXPORTS_DIR") or "exports")
        self.adapters = root / (settings.get("LORA_ADAPTERS_DIR") or "lora_adapters")
        self.api_url = f"http://127.0.0.1:{settings.get('API_PORT') or 8820}"
        self.dashboard_url = f"http://127.0.0.1:{settings.get('DASHBOARD_PORT') or 5000}"
        self.api_key = settings.get("API_KEY") or None
        self.environment = settings | {
            "MEMORY_SERVICE_URL": self.api_url,
            "CASIOPY_DATA": str(self.data),
            "EXPORTS_DIR": str(self.exports),
            "LORA_ADAPTERS_DIR": str(self.adapters),
            "PYTHONUNBUFFERED": "1",
        }
        logs = self.data / "logs"
        me = [sys.executable, "-m", "casiopy"]
        self._parts = [
            Part("The memory service", [*me, "serve"], self.api_url, "/health", logs / "service.out"),
            Part("The dashboard", [*me, "dashboard"], self.dashboard_url, "/healthz", logs / "dashboard.out"),
        ]

    def __enter__(self) -> Self:
        # `kill PID` stops everything as cleanly as Ctrl-C does; a shell that started us in the background ignores Ctrl-C
        # on our behalf, so that is set, too.
        signal.signal(signal.SIGTERM, _as_interrupt)
        signal.signal(signal.SIGINT, _as_interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # An impatient second Ctrl-C must not leave a part behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        started = [part for part in self._parts if part.process is not None]
        for part in reversed(started):
            part.stop()
        if started:
            self.console.print("[dim]Stopped. Nothing is lost: the next start is warm.[/]")

    def start(self) -> None:
        """Start the parts one after the other; returns when each of them answers."""
        self.begun = time.monotonic()
        for part in self._parts:
            _require_free(part)
        for part in self._parts:
            with self.console.status(f"{part.name} is starting …"):
                part.start(self.root, self.environment)
                seconds = part.await_answer()
            self.console.print(f"  [green]✓[/] {part.name} answers at [link={part.url}]{part.url}[/] ({seconds:.1f} s)")

    def require_alive(self) -> None:
        """Raises StackError when a part has died."""
        for part in self._parts:
            part.require_alive()

    def announce(self) -> None:
        """The three addresses worth opening."""
        self.console.print()
        self.console.print(f"  [bold]Dashboard[/]  {self.dashboard_url}")
        self.console.print(f"  [bold]API docs[/]   {self.api_url}/docs")
        self.console.print(f"  [bold]Health[/]     {self.api_url}/health")
        self.console.print("\n  Ctrl-C stops everything.", style="dim")


def wait_for_interrupt(stack: Stack) -> None:
    """Stay until Ctrl-C (or SIGTERM), or until a part dies."""
    try:
        while True:
            stack.require_alive()
            time.sleep(0.5)
    except KeyboardInterrupt:
        stack.console.print("\n[dim]Stopping …[/]")


def _as_interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _creation_flags() -> int:
    if sys.platform == "win32":
        return subprocess.CREATE_NEW_PROCESS_GROUP
    return 0


def _require_free(part: Part) -> None:
    url = httpx.URL(part.url)
    with socket.socket() as probe:
        probe.settimeout(1)
        taken = probe.connect_ex((url.host, url.port or 80)) == 0
    if taken:
        variable = "API_PORT" if "service" in part.name else "DASHBOARD_PORT"
        raise StackError(
            f"{part.name} cannot start: something answers at {part.url} already. If it is Casiopy, it is running: use it, "
            f"or stop it first. Otherwise choose another port, e.g. {variable}={(url.port or 80) + 10}."
        )
