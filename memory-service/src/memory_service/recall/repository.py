"""Runs `hybrid.sql` and fetches what it found."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.models import Interaction

_HYBRID = text((files(__package__) / "hybrid.sql").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Question:
    """What `hybrid.sql` is asked. Without a vector only the lexical arm answers; with an empty text, only the dense one."""

    text: str
    vector: str | None
    model_id: int | None
    user_id: str
    persona_id: UUID
    session_id: UUID | None
    candidates: int


async def candidates(connection: AsyncConnection, question: Question) -> Sequence[Row[Any]]:
    """Each arm's best exchanges, with both arms' scores."""
    parameters = {
        "question": question.text,
        "vector": question.vector,
        "model_id": question.model_id,
        "user_id": question.user_id,
        "persona_id": question.persona_id,
        "session_id": question.session_id,
        "candidates": question.candidates,
    }
    return (await connection.execute(_HYBRID, parameters)).all()


async def exchanges(connection: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, Row[Any]]:
    """The exchanges with these ids, by id."""
    statement = select(Interaction).where(Interaction.id.in_(ids))
    return {row.id: row for row in (await connection.execute(statement)).all()}
