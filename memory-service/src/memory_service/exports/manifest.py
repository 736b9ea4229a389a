"""What a dataset is: its rows, its filters, its funnel, and the hashes that pin all three. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from memory_service.exports.dataset import SPLITS, Place
from memory_service.exports.selection import Stage
from memory_service.exports.weeks import Week
from memory_service.scoring.text import fold

SCHEMA = "casiopy/dataset-v1"


class Digest:
    """The hashes of a dataset while its files are written, train before val; nothing of the files is kept."""

    def __init__(self) -> None:
        self._whole = hashlib.sha256()
        self._splits = {split: hashlib.sha256() for split in SPLITS}
        self.rows = dict.fromkeys(SPLITS, 0)
        self.bytes = dict.fromkeys(SPLITS, 0)

    def add(self, split: str, line: bytes) -> None:
        """One more line of a split."""
        self._whole.update(line)
        self._splits[split].update(line)
        self.rows[split] += 1
        self.bytes[split] += len(line)

    @property
    def sha256(self) -> str:
        """SHA-256 of train.jsonl followed by val.jsonl."""
        return self._whole.hexdigest()

    @property
    def identity(self) -> str:
        """What its id is made of: the same rows held out differently are another dataset."""
        return hashlib.sha256("".join(self.of(split) for split in SPLITS).encode()).hexdigest()

    def of(self, split: str) -> str:
        """The hash of one file."""
        return self._splits[split].hexdigest()

    def entries(self) -> dict[str, object]:
        """What the manifest says of the files."""
        return {
            split: {
                "file": f"{split}.jsonl",
                "rows": self.rows[split],
                "bytes": self.bytes[split],
                "sha256": self.of(split),
            }
            for split in SPLITS
        }


def export_id(export_type: str, week: Week | None, skill: str | None, identity: str) -> str:
    """`personality-1a2b3c4d`, `episodic-2026-w04-1a2b3c4d`, `skill-metroid-1a2b3c4d` or `preference-1a2b3c4d`."""
    name = export_type
    if week is not None:
        name = f"{export_type}-{week.year}-w{week.number:02d}"
    if skill is not None:
        plain = re.sub(r"[^a-z0-9]+", "-", fold(skill)).strip("-")[:40].rstrip("-")
        name = f"{export_type}-{plain or hashlib.sha256(skill.encode()).hexdigest()[:8]}"
    return f"{name}-{identity[:8]}"


@dataclass(frozen=True, slots=True)
class Description:
    """Everything a manifest states besides the files themselves; `more` are its optional keys."""

    type: str
    format: str
    skill: str | None
    persona_slug: str
    persona_name: str
    created_at: datetime
    week: Week | None
    filters: Mapping[str, object]
    scorer_version: str
    redaction_version: str
    system_prompt_sha256: str
    funnel: Sequence[Stage]
    exchanges: int
    more: Mapping[str, object] = field(default_factory=dict)


def build(description: Description, digest: Digest) -> dict[str, object]:
    """The manifest without its rows, in the key order of the schema."""
    return {
        "schema": SCHEMA,
        "export_id": export_id(description.type, description.week, description.skill, digest.identity),
        "type": description.type,
        "format": description.format,
        "skill": description.skill,
        "persona": {"slug": description.persona_slug, "name": description.persona_name},
        "created_at": utc(description.created_at),
        "week": _week(description.week),
        "filters": dict(description.filters),
        "scorer_version": description.scorer_version,
        "redaction_version": description.redaction_version,
        "system_prompt_sha256": description.system_prompt_sha256,
        "funnel": [asdict(stage) for stage in description.funnel],
        "splits": digest.entries(),
        "dataset_sha256": digest.sha256,
        "exchanges": description.exchanges,
        **description.more,
    }


def entry(place: Place) -> dict[str, object]:
    """What the manifest says of one exchange."""
    said: dict[str, object] = {
        "interaction_id": place.interaction_id,
        "session_id": place.session_id,
        "split": place.split,
        "content_hash": place.content_hash.hex(),
        "quality_score": place.quality_score,
    }
    return said if place.evidence is None else said | {"evidence": place.evidence}


def opening(head: Mapping[str, object]) -> bytes:
    """A manifest as JSON up to its rows."""
    return json.dumps(head, ensure_ascii=False, indent=2).removesuffix("\n}").encode() + b',\n  "rows": ['


def rows(places: Iterable[Place], *, first: bool) -> Iterator[bytes]:
    """The rows of a manifest, one a line. `first`: no row stands before them."""
    for place in places:
        yield b"\n    " if first else b",\n    "
        yield json.dumps(entry(place), ensure_ascii=False).encode()
        first = False


CLOSING = b"\n  ]\n}\n"


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
