"""Sessions as the API takes and shows them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, computed_field

from memory_service.fields import Metadata, PastMoment, UserId
from memory_service.personas.schemas import SLUG


class SessionCreate(BaseModel):
    """A conversation that begins."""

    user_id: UserId
    opt_out_training: bool = Field(False, description="True: nothing of this session is ever learned from.")
    persona: str | None = Field(None, pattern=SLUG)
    started_at: PastMoment | None = Field(None, description="For imports; now when absent. Without an offset: UTC.")
    metadata: Metadata = Field(default_factory=dict)


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
    user_id: str
    persona: str
    opt_out_training: bool
    started_at: datetime
    ended_at: datetime | None
    interactions: int = Field(description="Exchanges stored in it.")
    metadata: dict[str, Any]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def session_id(self) -> UUID:
        """The same as `id`."""
        return self.id
