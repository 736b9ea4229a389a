"""What the files of a dataset hold, as far as the dashboard shows it; keys it does not know are ignored."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field, model_validator

from persona_dashboard.service_shapes import FolderId, Shape


class Persona(Shape):
    """Whom a dataset teaches."""

    slug: str
    name: str = ""


class Week(Shape):
    """The ISO week a dataset covers."""

    year: int
    number: int
    timezone: str | None = None
    starts_at: datetime | None = Field(None, alias="from")
    ends_at: datetime | None = Field(None, alias="to")


class Stage(Shape):
    """One step of the funnel from all interactions to the dataset."""

    stage: str
    kept: int
    dropped: int
    why: str = ""


class Split(Shape):
    """One file of a dataset."""

    file: str
    rows: int
    sha256: str


class RowPin(Shape):
    """One interaction a dataset learned from."""

    interaction_id: str
    split: str
    quality_score: float | None = None


class DatasetManifest(Shape):
    """exports/<export_id>/manifest.json"""

    export_id: FolderId
    type: str
    format: str
    persona: Persona
    created_at: datetime
    week: Week | None = None
    filters: dict[str, Any] = Field(default_factory=dict)
    scorer_version: str | None = None
    redaction_version: str | None = None
    system_prompt_sha256: str | None = None
    funnel: tuple[Stage, ...] = ()
    splits: dict[str, Split] = Field(default_factory=dict)
    rows: tuple[RowPin, ...] = ()
    dataset_sha256: str

    @property
    def row_count(self) -> int:
        """Rows in all splits."""
        return sum(split.rows for split in self.splits.values())


class Message(Shape):
    """One message of a dataset row."""

    role: str
    content: str


class DatasetRow(Shape):
    """One line of train.jsonl or val.jsonl, whatever its format; of judged replies ✓ marks the wanted and ✗ the unwanted."""

    messages: list[Message]
    metadata: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _as_messages(cls, row: Any) -> Any:
        if not isinstance(row, dict) or "messages" in row:
            return row
        try:
            return {"messages": _messages(row), "metadata": row.get("metadata", {})}
        except (KeyError, TypeError, ValueError):
            return row  # damaged: the field that is missing is named


_SHAREGPT = {"system": "system", "human": "user", "gpt": "assistant"}


def _messages(row: dict[str, Any]) -> list[dict[str, str]]:
    if "conversations" in row:
        return [{"role": _SHAREGPT[said["from"]], "content": said["value"]} for said in row["conversations"]]
    if "instruction" in row:
        system = [{"role": "system", "content": row["system"]}] if row["system"] else []
        turns = [*row["history"], [row["instruction"], row["output"]]]
        exchanges = [(("user", asked), ("assistant", answered)) for asked, answered in turns]
        return system + [{"role": role, "content": said} for both in exchanges for role, said in both]
    replies = [(row["chosen"], "✓"), (row["rejected"], "✗")] if "chosen" in row else []
    replies = replies or [(row["completion"], "✓" if row["label"] else "✗")]
    marked = [message | {"content": f"{mark} {message['content']}"} for reply, mark in replies for message in reply]
    return [*row["prompt"], *marked]
