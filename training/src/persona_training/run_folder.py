"""The live files of a run, `lora_adapters/<adapter_id>/`: `metrics.jsonl`, `run.json` and its heartbeat.

The dashboard reads them while the run goes on; a resumed run continues the same files.
"""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from persona_training.adapters import write_json
from persona_training.backends.backend import Step
from persona_training.errors import StorageError

# Readers call a running run dead after 30 s without a heartbeat; nine missed ones fit in between.
HEARTBEAT_SECONDS = 3.0
DEAD_AFTER_SECONDS = 30.0
# Held on the disk while the run goes on and given back when it ends: a full disk then still takes the reason.
BALLAST_BYTES = 64 << 10
BALLAST = ".ballast"


def now() -> str:
    """This instant in UTC, as every manifest writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class RunState:
    """What a run's `run.json` says."""

    status: str
    pid: int
    heartbeat_at: datetime

    @property
    def alive(self) -> bool:
        """Whether a process of this machine is at it now: a fresh heartbeat, and a process of that number."""
        silent = (datetime.now(UTC) - self.heartbeat_at).total_seconds()
        return self.status in ("running", "queued") and silent < DEAD_AFTER_SECONDS and _exists(self.pid)


def read_state(folder: Path) -> RunState | None:
    """The state of a run, or None where its folder tells none."""
    try:
        state = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        heartbeat = datetime.fromisoformat(state["heartbeat_at"]).astimezone(UTC)
        return RunState(str(state["status"]), int(state["pid"]), heartbeat)
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None


def _exists(pid: int) -> bool:
    import psutil

    return bool(psutil.pid_exists(pid))


@dataclass
class RunFolder:
    """Writes a run's live files.

    Attributes:
        path: the adapter's folder.
        adapter_id: its name.
        total_steps: of the whole run, known once the schedule is laid out.
        first_step: where this process begins: 0, or the checkpoint's step.
    """

    path: Path
    adapter_id: str
    total_steps: int | None = None
    first_step: int = 0
    _state: dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closed: threading.Event = field(default_factory=threading.Event)
    _beat: threading.Thread | None = None
    _begun: float = field(default_factory=time.monotonic)
    _seconds_before: float = 0.0
    _tokens_before: int = 0
    _epoch_rows: int = 1
    _rows_per_step: int = 1

    def open(self) -> None:
        """Create the folder and start the heartbeat.

        Raises:
            StorageError: the folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / BALLAST).write_bytes(b"\0" * BALLAST_BYTES)
        except OSError as error:
            raise StorageError(f"Cannot write {self.path}: {error.strerror}. Choose another --output-dir.") from error
        self._state = {
            "adapter_id": self.adapter_id,
            "pid": os.getpid(),
            "status": "running",
            "stage": "starting",
            "step": self.first_step,
            "total_steps": self.total_steps,
            "heartbeat_at": now(),
            "started_at": now(),
            "message": "",
            "waiting_for": None,
        }
        self.update()
        self._beat = threading.Thread(target=self._heartbeat, name="heartbeat", daemon=True)
        self._beat.start()

    def wait(self, message: str, device: str, adapter_id: str, since: str) -> None:
        """The device is another run's: say whose, as long as it lasts."""
        holder = {"device": device, "adapter_id": adapter_id, "since": since}
        if self._state["waiting_for"] != holder:
            self.update(status="queued", stage="waiting", message=message, started_at=None, waiting_for=holder)

    def begin(self) -> None:
        """It is this run's turn."""
        self.update(status="running", stage="starting", message="", started_at=now(), waiting_for=None)

    def begin_steps(self, total_steps: int, first_step: int, epoch_rows: int, rows_per_step: int) -> None:
        """Fix the run's length; on resume, drop the metrics of steps after the checkpoint, which are done again."""
        self.total_steps, self.first_step = total_steps, first_step
        self._epoch_rows, self._rows_per_step = epoch_rows, rows_per_step
        kept = [line for line in self.metrics() if line["step"] <= first_step]
        if kept:
            self._seconds_before, self._tokens_before = kept[-1]["elapsed_seconds"], kept[-1]["tokens"]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        self._guarded(lambda: self._rewrite_metrics(text))
        self._begun = time.monotonic()
        self.update(step=first_step, total_steps=total_steps)

    def add(self, step: Step) -> dict[str, Any]:
        """Append one metrics line, flushed, and return it."""
        if self.total_steps is None:
            raise RuntimeError("begin_steps comes before the first step")
        here = time.monotonic() - self._begun
        done = max(step.step - self.first_step, 1)
        line = {
            "step": step.step,
            "total_steps": self.total_steps,
            "epoch": round(step.step * self._rows_per_step / self._epoch_rows, 4),
            "loss": step.loss,
            "eval_loss": step.eval_loss,
            "learning_rate": step.learning_rate,
            "grad_norm": step.grad_norm,
            "tokens": step.tokens,
            "tokens_per_second": round((step.tokens - self._tokens_before) / max(here, 1e-6), 1),
            "elapsed_seconds": round(self._seconds_before + here, 3),
            "eta_seconds": round(here / done * (self.total_steps - step.step), 1),
            "time": now(),
        }
        self._guarded(lambda: self._append(json.dumps(line)))
        self._state["step"] = step.step
        return line

    def metrics(self) -> list[dict[str, Any]]:
        """The complete lines written so far; a last line cut off by a kill is left out.

        Raises:
            StorageError: another line is damaged.
        """
        path = self.path / "metrics.jsonl"
        if not path.is_file():
            return []
        text = path.read_text(encoding="utf-8", errors="replace")
        lines = text[: text.rfind("\n") + 1].split("\n")[:-1]
        try:
            return [json.loads(line) for line in lines]
        except ValueError as error:
            raise StorageError(
                f"{path} is damaged ({error}). Delete the lines that are not JSON, then --resume {self.adapter_id}."
            ) from error

    def update(self, **changes: object) -> None:
        """Rewrite `run.json` with these fields changed."""
        with self._lock:
            self._state.update(changes)
            self._state["heartbeat_at"] = now()
            write_json(self.path / "run.json", self._state)

    def close(self, status: str, message: str) -> None:
        """Write the final status and stop the heartbeat.

        Raises:
            StorageError: the disk does not even take that.
        """
        self._closed.set()
        if self._beat is not None:
            self._beat.join()
        (self.path / BALLAST).unlink(missing_ok=True)
        self.update(status=status, stage=status, message=message, waiting_for=None)

    def _heartbeat(self) -> None:
        while not self._closed.wait(HEARTBEAT_SECONDS):
            try:
                self.update()
            except StorageError:
                # The next metrics line meets the same full disk where it can end the run; this thread cannot.
                continue

    def _rewrite_metrics(self, text: str) -> None:
        """Replace the file in one go: a kill in between must not cost the curve so far."""
        unfinished = self.path / f".metrics.jsonl.{os.getpid()}"
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(self.path / "metrics.jsonl")

    def _append(self, line: str) -> None:
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _guarded(self, write: Any) -> None:
        try:
            write()
        except OSError as error:
            raise StorageError(
                f"Cannot write into {self.path}: {error.strerror}. Free some space, then --resume {self.adapter_id}."
            ) from error
