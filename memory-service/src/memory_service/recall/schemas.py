"""Recall as the API takes and shows it."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from memory_service.fields import Storable, UserId
from memory_service.models import MAX_TEXT
from memory_service.personas.schemas import SLUG

ArmName = Literal["dense", "lexical"]


class ContextRequest(BaseModel):
    """What is being said now, and whose memories may answer."""

    user_id: UserId
    query: Annotated[str, Field(min_length=1, max_length=MAX_TEXT, examples=["¿Cómo se llama mi gato?"]), Storable]
    session_id: UUID | None = Field(None, description="Only memories of this session.")
    persona: str | None = Field(None, pattern=SLUG)
    limit: int = Field(5, ge=1, le=100)


class RecallRequest(ContextRequest):
    """A recall to look into."""

    limit: int = Field(10, ge=1, le=100)
    arms: set[ArmName] = Field(
        default={"dense", "lexical"}, min_length=1, description="Which arms may vote; both unless you compare them."
    )


class ArmExplanation(BaseModel):
    """What one arm said of a memory."""

    rank: int = Field(ge=1, description="Place among all of the viewer's memories; 1 is best.")
    score: float = Field(description="Dense: cosine in [-1, 1]. Lexical: rarity-weighted word score, 0 and up.")


class Explanation(BaseModel):
    """Why a memory was recalled."""

    dense: ArmExplanation | None
    lexical: ArmExplanation | None
    fused: float = Field(ge=0, le=1, description="Both arms together.")
    reason: str = Field(description="The same in plain words, in the persona's language (Spanish or English).")


class ContextMemory(BaseModel):
    """One recalled memory."""

    id: UUID
    source: Literal["interaction"] = "interaction"
    content: str = Field(description="Both sides; the viewer's alone where the reply was dropped as no true reply.")
    memory_type: Literal["event"] = "event"
    created_at: datetime = Field(description="When it happened.")
    relevance_score: float = Field(ge=0, le=1)
    session_id: UUID
    explain: Explanation


class Context(BaseModel):
    """What to remember now, best first, and the same as lines for a prompt."""

    memories: list[ContextMemory]
    context_summary: str = Field(description="A dated bullet per memory, oldest first.")
    note: str | None = Field(description="Set when recall had to go by words alone: why.")


class Hit(ContextMemory):
    """A recalled memory with the exchange it comes from."""

    user_id: str
    input_text: str
    output_text: str
    dropped: bool = Field(description="A hard rule dropped the reply; `content` leaves it out.")
    quality_score: float


class Recalled(BaseModel):
    """Hits, best first."""

    hits: list[Hit]
    note: str | None = Field(description="Set when recall had to go by words alone: why.")
