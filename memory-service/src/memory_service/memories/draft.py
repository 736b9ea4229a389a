"""A memory before it is stored. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from memory_service.fields import Audience
from memory_service.memories.profile import MemoryType

IngestionMode = Literal["explicit", "rules"]


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be remembered; limits are those of the API (`schemas.MemoryCreate`).

    Attributes:
        ttl_seconds: lifetime from now; gives `expires_at`, and the other way round.
        audience: who may hear of it.
        valid_from: since when it holds; now when absent. One older than what is known under its key is born superseded.
    """

    type: MemoryType
    content: str
    key: str | None = None
    value: Any = None
    confidence: float = 1.0
    importance: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    ingestion_mode: IngestionMode = "explicit"
    ttl_seconds: int | None = None
    expires_at: datetime | None = None
    persona_id: UUID | None = None
    source_interaction_id: UUID | None = None
    valid_from: datetime | None = None
    audience: Audience = "viewer"
