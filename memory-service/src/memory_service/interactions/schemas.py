"""Interactions as the API takes and shows them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, computed_field

from memory_service.fields import Audience, Label, Metadata, Moment, PastMoment, Utterance

MAX_BULK = 1000
Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class InteractionCreate(BaseModel):
    """One exchange. The owner's rules score it; nobody has to."""

    session_id: UUID
    input_text: Utterance = Field(min_length=1, examples=["Hola Casiopy"])
    output_text: Utterance = Field("", examples=["*suspiro* Hola, mortal. ¿Qué necesitas?"])
    input_emotion: Label | None = None
    output_emotion: Label | None = None
    model_version: Label | None = Field(None, description="The model or deployed tag that answered.")
    occurred_at: PastMoment | None = Field(None, description="For imports; now when absent. Without an offset: UTC.")
    audience: Audience = Field(
        "viewer",
        description="Who may hear of it again: `viewer` (told in private), `public` (said before everybody, as on stream), "
        "`streamer` (the persona's owner alone).",
    )
    metadata: Metadata = Field(
        default_factory=dict,
        description="Yours, stored as it is. The scorer reads `interrupted` (true: the viewer cut the reply off), "
        "`finish_reason` (`length`: the model ran out of room), `memory_block` (the memories the model was given) and "
        "`answered_by` (an agent that answered in the persona's place). Datasets read `skill` (what the exchange is practice "
        "for) and, to show a memory block, `memory_ids`: for each line of it the id of the memory or exchange it is from (`id` "
        "in `citations` of POST /memory/context), a list of them, or null.",
    )


class Bulk(BaseModel):
    """Many exchanges, stored together or not at all."""

    interactions: list[InteractionCreate] = Field(min_length=1, max_length=MAX_BULK)


class Drop(BaseModel):
    """A hard rule the exchange broke: nothing should be learned from it."""

    rule: str
    why: str


class Signal(BaseModel):
    """One soft opinion, its share of the score and its reason."""

    name: str
    value: float
    weight: float
    why: str


class Quality(BaseModel):
    """The scorer's breakdown; it stays when a human overrides the score."""

    score: float = Field(description="What the rules said, 0 to 1.")
    drops: list[Drop]
    signals: list[Signal]
    scorer_version: str


class InteractionItem(BaseModel):
    """One stored exchange."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    session_id: UUID
    user_id: str
    persona: str
    input_text: str
    output_text: str
    input_emotion: str | None
    output_emotion: str | None
    model_version: str | None
    occurred_at: datetime
    audience: Audience
    created_at: datetime
    quality_score: float = Field(description="0 to 1: the rules' score, or the humans' when someone rated it.")
    quality_source: Literal["scorer", "human"]
    quality: Quality
    opt_out_training: bool = Field(description="True when the session or the viewer is opted out of training.")
    embedding_status: Literal["pending", "done", "failed"]
    metadata: dict[str, Any]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def interaction_id(self) -> UUID:
        """The same as `id`."""
        return self.id


class Stored(BaseModel):
    """An exchange of a bulk request: its id and score."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    quality_score: float


class BulkStored(BaseModel):
    """What a bulk request stored, in the order given."""

    created: int
    items: list[Stored]


class QualityUpdate(BaseModel):
    """A human's score."""

    quality_score: Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of time."""

    since: Annotated[Moment | None, Query(description="From this moment on. Without an offset: UTC.")] = None
    until: Annotated[Moment | None, Query(description="Before this moment.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InteractionFilter(Window):
    """Which interactions to list."""

    session_id: UUID | None = None
    user_id: str | None = None
    persona: Annotated[str | None, Query(description="Slug; all personas when absent.")] = None
    min_quality: Score | None = None
    max_quality: Score | None = None
    dropped: Annotated[bool | None, Query(description="Only what a hard rule dropped, or only the rest.")] = None
    embedding_status: Annotated[
        Literal["pending", "done", "failed"] | None,
        Query(description="Only what waits for its vector, has it, or cannot have one."),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFilter(Window):
    """Which interactions are good enough to learn from."""

    min_quality: Score = 0.6
