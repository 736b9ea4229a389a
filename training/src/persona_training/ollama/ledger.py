"""Who was live when: `lora_adapters/deployments.jsonl`, one line per deployment or rollback, only ever appended to."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from persona_training.errors import StorageError

FILE_NAME = "deployments.jsonl"


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
        forced: the operator's reason for deploying without a passing report.
        replaced: digest of what was live before, None for nothing.
        host: where.
        at: UTC.
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


def now_utc() -> str:
    """The moment as the ledger writes it."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def record(adapters_dir: Path, entry: Entry) -> None:
    """Append one line.

    Raises:
        StorageError: the folder cannot be written.
    """
    try:
        with (adapters_dir / FILE_NAME).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")
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
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except ValueError as error:
        raise StorageError(
            f"{path} is damaged ({error}). Remove the broken line; nothing else depends on it."
        ) from error


def deployed_as(adapters_dir: Path, digest: str) -> dict[str, Any] | None:
    """The newest entry about a model with this digest that knows its adapter, or None."""
    known = [entry for entry in entries(adapters_dir) if entry.get("digest") == digest and entry.get("adapter_id")]
    return known[-1] if known else None
