"""Memories as the API takes and shows them."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self, get_args
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    computed_field,
    model_validator,
)

from memory_service.errors import BadRequest
from memory_service.fields import Audience, Moment, PastMoment, Storable, UserId, json_depth, storable_object
from memory_service.memories.draft import IngestionMode
from memory_service.memories.profile import MAX_CONTENT, MAX_KEY, MemoryType
from memory_service.personas.schemas import SLUG

# The table's CHECK constraint holds the same limit of bytes.
MAX_METADATA_BYTES, MAX_METADATA_LEVELS = 5_120, 5
# What PostgreSQL's integer holds: 68 years.
MAX_TTL_SECONDS = 2_147_483_647
_TYPES: tuple[str, ...] = get_args(MemoryType)


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("content cannot be blank")
    return value


def _known_type(value: object) -> object:
    if value is not None and value not in _TYPES:
        raise ValueError(f"Must be one of: {', '.join(_TYPES)}")
    return value


def _known_mode(value: object) -> object:
    if value not in ("explicit", "rules"):
        raise BadRequest("Invalid ingestion_mode. Must be one of: explicit, rules")
    return value


def _small(value: dict[str, Any]) -> dict[str, Any]:
    if json_depth(value) > MAX_METADATA_LEVELS:
        raise ValueError(f"metadata is nested deeper than {MAX_METADATA_LEVELS} levels")
    return storable_object(value, max_bytes=MAX_METADATA_BYTES)


def _storable_value(value: Any) -> Any:
    return storable_object({"value": value}, "value")["value"]


TypeName = Annotated[MemoryType, BeforeValidator(_known_type)]
SmallMetadata = Annotated[
    dict[str, Any], BeforeValidator(lambda value: {} if value is None else value), AfterValidator(_small)
]


class MemoryCreate(BaseModel):
    """Something to remember of a user. Whose memory it is follows from the key alone, never from the body."""

    user_id: UserId
    content: Annotated[str, Field(min_length=1, max_length=MAX_CONTENT), AfterValidator(_not_blank), Storable]
    type: TypeName | None = Field(None, description="Required; `memory_type` is another name for it.")
    memory_type: TypeName | None = Field(None, description="The same as `type`.")
    key: Annotated[str, Field(min_length=1, max_length=MAX_KEY), Storable] | None = Field(
        None, description="What it is about. A newer memory of the same user with the same key supersedes this one."
    )
    value: Annotated[Any, AfterValidator(_storable_value)] = Field(None, description="Any JSON value.")
    confidence: Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)] = 1.0
    importance: Annotated[StrictInt, Field(ge=1, le=5)] | None = Field(None, description="1 low to 5 critical.")
    metadata: SmallMetadata = Field(default_factory=dict, description="At most 5 KB as JSON, at most 5 levels deep.")
    ttl_seconds: Annotated[StrictInt, Field(ge=1, le=MAX_TTL_SECONDS)] | None = None
    expires_at: Moment | None = Field(None, description="Given instead of `ttl_seconds`; each follows from the other.")
    ingestion_mode: Annotated[IngestionMode, BeforeValidator(_known_mode)] = "explicit"
    persona: str | None = Field(
        None, pattern=SLUG, description="Only this persona's memory; all personas' when absent."
    )
    audience: Audience = Field(
        "viewer", description="Who may hear of it: the viewer, the `streamer` alone, or the `public`."
    )
    valid_from: PastMoment | None = Field(None, description="Since when it holds, for imports; now when absent.")

    @model_validator(mode="after")
    def _one_type(self) -> Self:
        given = {name for name in (self.type, self.memory_type) if name is not None}
        if not given:
            raise ValueError(f"type: required. Must be one of: {', '.join(_TYPES)}")
        if len(given) > 1:
            raise ValueError("type and memory_type contradict each other. Send one of them.")
        return self

    @property
    def named_type(self) -> MemoryType:
        """The type, under whichever name it was given."""
        found = self.type or self.memory_type
        assert found is not None  # noqa: S101  (_one_type has seen to it)
        return found


class MemoryItem(BaseModel):
    """One memory."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    owner_id: str
    user_id: str
    content: str
    type: MemoryType
    key: str | None
    value: Any
    confidence: float
    importance: int | None
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    ttl_seconds: int | None
    is_deleted: bool
    ingestion_mode: IngestionMode
    persona: str | None = Field(description="Slug; null: every persona's.")
    audience: Audience
    valid_from: datetime
    valid_to: datetime | None = Field(description="When it ceased to hold; null while it does.")
    superseded_by: UUID | None
    source_interaction_id: UUID | None = Field(description="The exchange it was read from.")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def memory_id(self) -> UUID:
        """The same as `id`."""
        return self.id

    @computed_field  # type: ignore[prop-decorator]
    @property
    def memory_type(self) -> MemoryType:
        """The same as `type`."""
        return self.type

    @property
    def value_or_words(self) -> Any:
        """The value; where a client stored a sentence alone, that sentence without its key."""
        return self.content.removeprefix(f"{self.key}: ") if self.value is None else self.value


class MemoryStats(BaseModel):
    """A user's memories in numbers. `total` and both breakdowns count what is current."""

    total: int
    deleted: int = Field(description="Soft-deleted ones.")
    expired: int
    by_type: dict[MemoryType, int] = Field(description="Types without a memory are left out.")
    by_importance: dict[Literal["1", "2", "3", "4", "5"], int]
    oldest: datetime | None
    newest: datetime | None


class Deleted(BaseModel):
    """What was deleted."""

    memory_id: UUID
    deleted: Literal["soft", "hard"]
    message: str
