"""Exports as the API takes and shows them. The manifest itself is described by exports/schema/dataset-v1.schema.json."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from memory_service.personas.schemas import SLUG


class ExportCreate(BaseModel):
    """What to learn from: everything in character (`personality`), or one week (`episodic`)."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"type": "episodic", "year": 2026, "week": 4}]})

    type: Literal["personality", "episodic"]
    format: Literal["chatml"] = "chatml"
    week: int | None = Field(None, ge=1, le=53, description="ISO week; with `episodic` only.")
    year: int | None = Field(None, ge=1970, le=9998, description="ISO year of the week; the current one when absent.")
    timezone: str = Field("Europe/Madrid", min_length=1, max_length=64, description="IANA zone the week is meant in.")
    min_quality: float = Field(0.6, ge=0, le=1, allow_inf_nan=False)
    persona: str | None = Field(None, pattern=SLUG)
    val_share: float = Field(0.1, ge=0, lt=1, allow_inf_nan=False, description="Share of sessions held out.")
    seed: int = Field(7, ge=-(2**31), lt=2**31, description="Decides the split and the viewers' pseudonyms.")
    max_turns: int = Field(6, ge=1, le=100, description="Longest conversation in one row, in exchanges.")

    @model_validator(mode="after")
    def _week_goes_with_episodic(self) -> "ExportCreate":
        if self.type == "episodic" and self.week is None:
            raise ValueError("an episodic dataset needs `week` (and `year`, unless it is the current one)")
        if self.type == "personality" and (self.week is not None or self.year is not None):
            raise ValueError("`week` and `year` go with type `episodic`; a personality dataset covers all time")
        return self


class ExportSummary(BaseModel):
    """A dataset handed out: its manifest without the list of rows."""

    model_config = ConfigDict(from_attributes=True, extra="allow")

    export_id: str
    type: str
    format: str
    dataset_sha256: str
    created_at: datetime
    tainted_at: datetime | None = Field(description="Since when it holds what somebody had erased; null: never.")
    week: dict[str, Any] | None
    filters: dict[str, Any]
    funnel: list[dict[str, Any]]
    splits: dict[str, Any]
