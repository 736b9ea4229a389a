"""What the selection and the writing know of a stored exchange, and of what people said about its reply. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Opinion:
    """One person's word on a reply. `corrected` is what should have been said, `discarded` what was swiped away for it."""

    id: str
    rating: int | None = None
    corrected: str | None = None
    discarded: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """One stored exchange with all that decides about it.

    Attributes:
        named: its session, or a topic it belongs to, has the name of the skill asked for.
        opinions: oldest first, of people who let the persona learn from them.
    """

    interaction_id: str
    session_id: str
    user_id: str
    input_text: str
    output_text: str
    occurred_at: datetime
    quality_score: float
    content_hash: str
    opted_out: bool = False
    dropped: bool = False
    judged_by_human: bool = False
    persona_style: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    named: bool = False
    opinions: Sequence[Opinion] = ()
