"""What a dataset is: its rows, its filters, its funnel, and the hashes that pin all three."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from memory_service.exports.selection import Stage
from memory_service.exports.weeks import Week

SCHEMA = "casiopy/dataset-v1"


@dataclass(frozen=True, slots=True)
class Split:
    """One file of the dataset: its bytes and how many rows they hold."""

    name: str
    rows: int
    content: bytes

    def entry(self) -> dict[str, object]:
        """Its line in the manifest."""
        return {"file": f"{self.name}.jsonl", "rows": self.rows, "sha256": hashlib.sha256(self.content).hexdigest()}


def dataset_sha256(train: Split, val: Split) -> str:
    """The dataset's identity: SHA-256 of train.jsonl followed by val.jsonl."""
    return hashlib.sha256(train.content + val.content).hexdigest()


def export_id(export_type: str, week: Week | None, sha256: str) -> str:
    """`personality-1a2b3c4d` or `episodic-2026-w04-1a2b3c4d`."""
    name = export_type if week is None else f"{export_type}-{week.year}-w{week.number:02d}"
    return f"{name}-{sha256[:8]}"


@dataclass(frozen=True, slots=True)
class Description:
    """Everything a manifest states besides the files themselves."""

    type: str
    format: str
    persona_slug: str
    persona_name: str
    created_at: datetime
    week: Week | None
    filters: Mapping[str, object]
    scorer_version: str
    redaction_version: str
    system_prompt_sha256: str
    funnel: Sequence[Stage]
    rows: Sequence[Mapping[str, object]]


def build(description: Description, train: Split, val: Split) -> dict[str, object]:
    """The manifest, in the key order of the schema."""
    sha256 = dataset_sha256(train, val)
    return {
        "schema": SCHEMA,
        "export_id": export_id(description.type, description.week, sha256),
        "type": description.type,
        "format": description.format,
        "persona": {"slug": description.persona_slug, "name": description.persona_name},
        "created_at": utc(description.created_at),
        "week": _week(description.week),
        "filters": dict(description.filters),
        "scorer_version": description.scorer_version,
        "redaction_version": description.redaction_version,
        "system_prompt_sha256": description.system_prompt_sha256,
        "funnel": [asdict(stage) for stage in description.funnel],
        "splits": {"train": train.entry(), "val": val.entry()},
        "rows": [dict(row) for row in description.rows],
        "dataset_sha256": sha256,
    }


def utc(moment: datetime) -> str:
    """ISO 8601 in UTC with a Z, whole seconds kept short."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _week(week: Week | None) -> dict[str, object] | None:
    if week is None:
        return None
    return {
        "year": week.year,
        "number": week.number,
        "timezone": week.timezone,
        "from": utc(week.start),
        "to": utc(week.end),
    }
