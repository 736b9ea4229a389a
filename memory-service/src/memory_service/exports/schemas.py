"""Exports as the API takes and shows them. The manifest itself is described by exports/schema/dataset-v1.schema.json."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from memory_service.fields import Storable
from memory_service.personas.schemas import SLUG

DatasetType = Literal["personality", "episodic", "skill", "preference"]
DatasetFormat = Literal["chatml", "sharegpt", "alpaca", "dpo", "kto"]
_JUDGED = frozenset({"dpo", "kto"})
Prompt = Annotated[str, Field(min_length=1, max_length=4000), Storable]


class ExportCreate(BaseModel):
    """What to learn from.

    `personality`: everything in character. `episodic`: one week. `skill`: what was practised under a name. `preference`:
    replies that people corrected, swiped away or voted on.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"type": "episodic", "year": 2026, "week": 4},
                {"type": "skill", "skill": "metroid", "format": "sharegpt"},
                {"type": "preference", "format": "dpo"},
            ]
        }
    )

    type: DatasetType
    format: DatasetFormat | None = Field(
        None, description="`chatml` when absent, `dpo` with `preference`; `dpo` and `kto` go with `preference` alone."
    )
    week: int | None = Field(None, ge=1, le=53, description="ISO week; with `episodic` only.")
    year: int | None = Field(None, ge=1970, le=9998, description="ISO year of the week; the current one when absent.")
    skill: Annotated[str, Field(min_length=1, max_length=64, pattern=r"\w"), Storable] | None = Field(
        None,
        description="With `skill` only: exchanges with this name as `skill` in their own or their session's metadata, and "
        "those of a topic with this label. Case does not matter.",
    )
    timezone: str = Field("Europe/Madrid", min_length=1, max_length=64, description="IANA zone the week is meant in.")
    min_quality: float = Field(0.6, ge=0, le=1, allow_inf_nan=False)
    persona: str | None = Field(None, pattern=SLUG)
    val_share: float = Field(0.1, ge=0, lt=1, allow_inf_nan=False, description="Share of sessions held out.")
    seed: int = Field(7, ge=-(2**31), lt=2**31, description="Decides the split and the viewers' pseudonyms.")
    max_turns: int = Field(6, ge=1, le=100, description="Longest conversation in one row, in exchanges.")
    exclude_prompts: list[Prompt] = Field(
        default_factory=list,
        max_length=5000,
        description="What the character is examined with. Exchanges that ask it (word for word, within a longer message, or "
        "nearly) are left out; the manifest keeps the number and hash of the prompts.",
    )

    @property
    def row_format(self) -> str:
        """The format, by default that of the type."""
        return self.format or ("dpo" if self.type == "preference" else "chatml")

    @model_validator(mode="after")
    def _goes_together(self) -> "ExportCreate":
        if self.type == "episodic" and self.week is None:
            raise ValueError("an episodic dataset needs `week` (and `year`, unless it is the current one)")
        if self.type != "episodic" and (self.week is not None or self.year is not None):
            raise ValueError(f"`week` and `year` go with type `episodic`; a {self.type} dataset covers all time")
        if (self.type == "skill") != (self.skill is not None):
            raise ValueError("`skill` names the skill of a dataset of type `skill`: give both or neither")
        if (self.row_format in _JUDGED) != (self.type == "preference"):
            raise ValueError(
                "the formats `dpo` and `kto` go with type `preference`, and `chatml`, `sharegpt` and `alpaca` with the others"
            )
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
