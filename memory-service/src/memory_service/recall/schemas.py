"""Recall as the API takes and shows it."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from memory_service.fields import Moment, Storable, UserId
from memory_service.memories.profile import MemoryType
from memory_service.models import MAX_TEXT
from memory_service.personas.schemas import SLUG
from memory_service.recall.context import Place, Source
from memory_service.recall.fusion import Preset

ArmName = Literal["dense", "lexical"]
Listener = Literal["viewer", "streamer", "public"]

# A prompt holds fewer turns; each asks the arms for one candidate more.
MAX_EXCLUDED = 200


class Question(BaseModel):
    """What is being said now, and whose memories may answer."""

    user_id: UserId
    query: Annotated[str, Field(min_length=1, max_length=MAX_TEXT, examples=["¿Cómo se llama mi gato?"]), Storable]
    session_id: UUID | None = Field(
        None, description="Only exchanges of this session, and no typed memories: those are of no session."
    )
    persona: str | None = Field(None, pattern=SLUG)
    limit: int = Field(5, ge=1, le=100)
    preset: Preset = Field(
        "chat",
        description="What counts: `chat` a little of everything, `facts` typed memories first, `timeline` dates first.",
    )
    scope: Literal["user", "everybody"] = Field(
        "user", description="`everybody`: also what other viewers said in public to this persona."
    )
    listener: Listener = Field(
        "viewer",
        description="Who will hear the answer. `viewer`: this viewer alone. `public`: everybody (on stream), so only what was "
        "public. `streamer`: the persona's owner, who may also hear what is marked as the streamer's own.",
    )
    as_of: Moment | None = Field(
        None, description="As it stood then: what was said later is left out, what was superseded since is back."
    )
    exclude: list[UUID] = Field(
        default=[],
        max_length=MAX_EXCLUDED,
        description="Ids of exchanges and typed memories that the prompt holds already; others take their places.",
    )
    explain: bool = Field(False, description="Show what each score is made of (`explain.boosts`).")


class ContextRequest(Question):
    """The same, and how much of a prompt the answer may take."""

    max_tokens: int = Field(
        2000,
        ge=1,
        le=100_000,
        description="Tokens that `context_summary` may take; what does not fit is left out of it.",
    )
    cite: bool = Field(
        False, description="End each line of `context_summary` with its number, `[1]`, as in `citations`."
    )


class RecallRequest(Question):
    """A recall to look into."""

    limit: int = Field(10, ge=1, le=100)
    arms: set[ArmName] = Field(
        default={"dense", "lexical"}, min_length=1, description="Which arms may vote; both unless you compare them."
    )


class ArmExplanation(BaseModel):
    """What one arm said of a memory."""

    rank: int | None = Field(
        ge=1, description="Place among all that may be recalled, 1 is best; null beyond the first hundred."
    )
    score: float = Field(description="Dense: cosine in [-1, 1]. Lexical: BM25, 0 and up.")


class Explanation(BaseModel):
    """Why a memory was recalled."""

    dense: ArmExplanation | None
    lexical: ArmExplanation | None
    fused: float = Field(ge=0, le=1, description="Both arms together.")
    boosts: dict[str, float] | None = Field(
        description="With `explain`: what each opinion adds to the score; docs/recall.md has their names."
    )
    reason: str = Field(description="The same in plain words, in the persona's language (Spanish or English).")


class RecalledMemory(BaseModel):
    """One recalled memory: a typed one, or an exchange."""

    id: UUID
    source: Source = Field(description="Whether `id` is of GET /memory or /interactions.")
    content: str = Field(
        description="Of an exchange both sides; the viewer's alone where the reply was dropped as no true reply."
    )
    memory_type: MemoryType = Field(description="An exchange is an event.")
    created_at: datetime = Field(description="When it happened; of a typed memory, since when it holds.")
    relevance_score: float = Field(ge=0, le=1)
    session_id: UUID | None = Field(description="Of an exchange.")
    key: str | None = Field(description="Of a typed memory, as are `value` and `importance`.")
    value: Any
    importance: int | None
    explain: Explanation


class Neighbour(BaseModel):
    """A turn that is told with a memory because it completes it."""

    id: UUID
    content: str
    place: Place = Field(
        description="`before`: the question that the memory answers. `after`: the answer to what it asks."
    )


class ContextMemory(RecalledMemory):
    """A recalled memory, and the turns told with it in its line of the summary."""

    neighbours: list[Neighbour] = []


class Citation(BaseModel):
    """Where a line of the summary is from."""

    line: int = Field(ge=1, description="Number of the line, the first is 1.")
    id: UUID
    source: Source = Field(description="Whether `id` is of GET /memory or /interactions.")


class Context(BaseModel):
    """What to remember now, best first, and the same as lines for a prompt."""

    memories: list[ContextMemory]
    context_summary: str = Field(
        description="A bullet per memory: first what holds, then what happened with its date; oldest first. Under a question "
        "about time every bullet has its date. The same words stand once. What found no room within `max_tokens` is in "
        "`memories` alone: the best come first in line for room, and one too long alone is cut at a sentence."
    )
    citations: list[Citation] = Field(description="Where each line of `context_summary` is from.")
    tokens: int = Field(ge=0, description="What `context_summary` takes; never above `max_tokens`.")
    counted_by: str = Field(
        description="How: `tokenizer:` and its name (LLM_TOKENIZER), or `estimate`, which real tokenizers stay below."
    )
    note: str | None = Field(
        description="What recall had to do without (vectors, RECALL_REWRITE, RERANK_MODEL) and why; else null."
    )


class Hit(RecalledMemory):
    """A recalled memory with the exchange behind it; a typed memory has none, and null in its fields."""

    user_id: str
    input_text: str | None
    output_text: str | None
    dropped: bool | None = Field(description="A hard rule dropped the reply; `content` leaves it out.")
    quality_score: float | None


class Recalled(BaseModel):
    """Hits, best first."""

    hits: list[Hit]
    note: str | None = Field(
        description="What recall had to do without (vectors, RECALL_REWRITE, RERANK_MODEL) and why; else null."
    )
