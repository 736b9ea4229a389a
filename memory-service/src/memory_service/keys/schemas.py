"""A key as its operator sees it: everything but the key itself, which nobody can show again."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class Key(BaseModel):
    """One key of an owner."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    owner_id: str
    rate_limit: int = Field(description="Requests a minute; as many may come at once.")
    metadata: dict[str, Any]
    created_at: datetime
    last_used_at: datetime | None = Field(description="To the minute.")
    revoked_at: datetime | None
