"""Runs `hybrid.sql` and fetches what it found."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from uuid import UUID

from sqlalchemy import TEXT, Executable, bindparam, or_, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.memories.repository import CURRENT
from memory_service.models import Interaction, Memory
from memory_service.recall.forms import Form

_HYBRID = text((files(__package__) / "hybrid.sql").read_text(encoding="utf-8")).bindparams(
    bindparam("words", type_=ARRAY(TEXT)), bindparam("queries", type_=ARRAY(TEXT))
)

_EXCHANGES = select(
    Interaction.id,
    Interaction.session_id,
    Interaction.user_id,
    Interaction.input_text,
    Interaction.output_text,
    Interaction.occurred_at,
    Interaction.dropped,
    Interaction.quality_score,
    Interaction.content_hash,
)
_MEMORIES = select(
    Memory.id,
    Memory.user_id,
    Memory.type,
    Memory.content,
    Memory.key,
    Memory.value,
    Memory.importance,
    Memory.valid_from,
)


@dataclass(frozen=True, slots=True)
class Question:
    """What `hybrid.sql` is asked. Without a vector only the lexical arm answers; without forms, only the dense one.

    Attributes:
        session_id: only exchanges of this session, and no memories; None for everything.
        candidates: rows each arm hands over.
    """

    forms: Sequence[Form]
    vector: str | None
    model_id: int | None
    user_id: str
    persona_id: UUID
    session_id: UUID | None
    candidates: int


async def candidates(connection: AsyncConnection, question: Question) -> Sequence[Row[Any]]:
    """Each arm's best rows, with both arms' scores."""
    parameters = {
        "words": [form.word for form in question.forms],
        "queries": [form.query for form in question.forms],
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
    return await _by_id(connection, _EXCHANGES.where(Interaction.id.in_(ids)))


async def memories(connection: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, Row[Any]]:
    """The typed memories with these ids, by id."""
    return await _by_id(connection, _MEMORIES.where(Memory.id.in_(ids)))


async def _by_id(connection: AsyncConnection, statement: Executable) -> dict[UUID, Row[Any]]:
    return {row.id: row for row in (await connection.execute(statement)).all()}


async def few_memories(connection: AsyncConnection, user_id: str, persona_id: UUID, most: int) -> Sequence[UUID]:
    """The viewer's current memories, newest first; none when there are more than `most`."""
    statement = (
        select(Memory.id)
        .where(Memory.user_id == user_id, or_(Memory.persona_id.is_(None), Memory.persona_id == persona_id), CURRENT)
        .order_by(Memory.created_at.desc(), Memory.id.desc())
        .limit(most + 1)
    )
    found = (await connection.scalars(statement)).all()
    return found if len(found) <= most else []
