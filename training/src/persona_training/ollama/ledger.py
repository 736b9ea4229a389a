"""Who was live when: `lora_adapters/deployments.jsonl`, one line per deployment or rollback, only ever appended to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from persona_training.adapters import append_whole
from persona_training.errors import StorageError

FILE_NAME = "deployments.jsonl"
LOCK_NAME = ".deploying.lock"
LIVE = "latest"  # the tag that clients use, of every persona's name
By = Literal["command", "dashboard", "watch"]


@dataclass(frozen=True)
class Entry:
    """One change of what is live.

    Attributes:
        event: "deploy" or "rollback".
        tag: the tag that was made live, such as casiopy:week05.
        live: the tag that clients use, such as casiopy:latest.
        digest: Ollama's digest of that model; copies share it.
        adapter_id, weights_sha256: the adapter behind it; None when a rollback finds a model of unknown origin.
        gguf_sha256: the file it was created from.
        report_id: the gate report that allowed it.
        forced: the operator's reason for deploying without a passing report; a rollback to that version keeps it.
        replaced: digest of what was live before, None for nothing.
        host: where.
        at: UTC, to the millisecond; lines of older versions have whole seconds.
        by: who asked: a person at the command line, a person in the dashboard, or the watch.
        why: the reason of a rollback, where one was given; the watch always gives one.
        skills: adapter ids of the layers 3 that are served beside `adapter_id`.
    """

    event: Literal["deploy", "rollback"]
    tag: str
    live: str
    digest: str
    adapter_id: str | None
    weights_sha256: str | None
    gguf_sha256: str | None
    report_id: str | None
    forced: str | None
    replaced: str | None
    host: str
    at: str
    by: By = "command"
    why: str | None = None
    skills: list[str] = field(default_factory=list)


@contextmanager
def exclusively(adapters_dir: Path) -> Iterator[None]:
    """Let one process at a time change what is live.

    Raises:
        StorageError: another one is at it, or the folder cannot be written.
    """
    lock = FileLock(adapters_dir / LOCK_NAME)
    try:
        adapters_dir.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise StorageError(
            f"Another deployment or rollback is under way ({adapters_dir / LOCK_NAME} is held). Wait until it has ended."
        ) from error
    except OSError as error:
        raise StorageError(f"Cannot write into {adapters_dir}: {error.strerror}. Nothing was changed.") from error
    try:
        yield
    finally:
        lock.release()


def record(adapters_dir: Path, entry: Entry) -> None:
    """Append one line.

    Raises:
        StorageError: the folder cannot be written.
    """
    try:
        append_whole(adapters_dir / FILE_NAME, f"{json.dumps(asdict(entry), ensure_ascii=False)}\n".encode())
    except OSError as error:
        raise StorageError(f"Live, but {adapters_dir / FILE_NAME} cannot be written: {error.strerror}.") from error


def entries(adapters_dir: Path) -> list[dict[str, Any]]:
    """Every line, oldest first; empty when nothing was ever deployed.

    Raises:
        StorageError: a line is not JSON.
    """
    path = adapters_dir / FILE_NAME
    if not path.is_file():
        return []
    try:
        # Not splitlines(): a reason may hold what Unicode calls a line end (U+2028, U+0085).
        found = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
        if not all(isinstance(entry, dict) for entry in found):
            raise ValueError("a line is no JSON object")
    except ValueError as error:
        raise StorageError(
            f"{path} is damaged ({error}). Remove the broken line; nothing else depends on it."
        ) from error
    return found


def live_entry(persona: str | None, adapters_dir: Path) -> dict[str, Any] | None:
    """The newest line about this persona's live tag; of any persona's for None.

    Several personas may be served from one folder, and a line about another one's tag tells nothing about this one's.
    """
    tag = f"{persona}:{LIVE}" if persona else None
    known = [entry for entry in entries(adapters_dir) if tag is None or entry.get("live") == tag]
    return known[-1] if known else None


def deployed_as(adapters_dir: Path, digest: str) -> dict[str, Any] | None:
    """The newest entry about a model with this digest that knows its adapter, or None."""
    known = [entry for entry in entries(adapters_dir) if entry.get("digest") == digest and entry.get("adapter_id")]
    return known[-1] if known else None


def found_bad(adapters_dir: Path, live: str, digest: str) -> str | None:
    """Why the watch once rolled away from this model, unless somebody made it live again since; None: it never did."""
    bad: str | None = None
    for entry in entries(adapters_dir):
        if entry.get("live") != live:
            continue
        if entry.get("by") == "watch" and entry.get("replaced") == digest:
            bad = str(entry.get("why"))
        elif entry.get("digest") == digest and entry.get("by") != "watch":
            bad = None
    return bad
