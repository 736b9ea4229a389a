"""Sessions as the API takes and shows them."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, computed_field

from memory_service.fields import Metadata, PastMoment, Storable, UserId
from memory_service.personas.schemas import SLUG
from memory_service.sessions.identity import SessionId

# Room for a long evening in a page of text; prompts shorten it further.
MAX_SUMMARY = 8000


class SessionCreate(BaseModel):
    """A conversation that begins."""

    user_id: UserId
    opt_out_training: bool = Field(False, description="True: nothing of this session is ever learned from.")
    persona: str | None = Field(None, pattern=SLUG)
    started_at: PastMoment | None = Field(None, description="For imports; now when absent. Without an offset: UTC.")
    metadata: Metadata = Field(default_factory=dict)


class SessionNew(BaseModel):
    """A conversation that begins, of which nothing need be known."""

    session_id: SessionId | None = Field(None, description="Your own id for it; one is made when absent.")
    user_id: UserId | None = Field(None, description="The viewer; the session is a viewer of its own when absent.")
    persona: str | None = Field(None, pattern=SLUG)


class SessionUpdate(BaseModel):
    """The viewer's consent for this session, changeable at any time."""

    opt_out_training: bool


class SessionEnd(BaseModel):
    """When the session ended."""

    ended_at: PastMoment | None = Field(None, description="For imports; now when absent.")


class SessionItem(BaseModel):
    """One conversation."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str | None = Field(description="The client's own id for it.")
    user_id: str
    persona: str
    opt_out_training: bool
    started_at: datetime
    ended_at: datetime | None
    interactions: int = Field(description="Exchanges stored in it.")
    metadata: dict[str, Any]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def session_id(self) -> str:
        """The id as its client knows it: its own name for the session, else `id`."""
        return self.name or str(self.id)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def history(self) -> str:
        """Where the messages are."""
        return f"/history/{self.session_id}"


class HistoryMessage(BaseModel):
    """One side of an exchange."""

    role: Literal["user", "assistant"]
    content: str
    timestamp: datetime


class SessionDetail(SessionItem):
    """One conversation with what was said last."""

    summary: str = Field(description="What was said before; empty when there is none.")
    messages: list[HistoryMessage] = Field(description="The last exchanges, oldest first; all are at `history`.")


class SessionHistory(BaseModel):
    """Everything said in a session."""

    session_id: str
    total_mensajes: int
    historial: list[HistoryMessage]


class HistoryErased(BaseModel):
    """What was erased."""

    message: str


class SessionReset(BaseModel):
    """The session after its history went."""

    session_id: str
    message: str


class SessionErased(SessionReset):
    """The session is gone."""

    deleted: Literal[True] = True


class SummaryUpdate(BaseModel):
    """A summary written by hand."""

    summary: Annotated[str, Field(max_length=MAX_SUMMARY), Storable]


class SummaryItem(BaseModel):
    """A session's running summary."""

    session_id: str
    summary: str = Field(description="Empty when there is none.")
    written_by: Literal["model", "operator"] | None
    updated_at: datetime | None
