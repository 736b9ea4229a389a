"""Reads and writes `memories`."""

from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, func, insert, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.interactions.repository import taint
from memory_service.memories.supersession import Version
from memory_service.models import Memory, Owner, Persona, User

_STATS = text(Path(__file__).with_name("stats.sql").read_text(encoding="utf-8"))

# More than any prompt has room for; what is older is found by recall.
MOST_TOLD = 500
EXPIRED = Memory.expires_at <= func.now()
# What every read path shows unless asked for more.
CURRENT = (
    ~Memory.is_deleted & Memory.valid_to.is_(None) & or_(Memory.expires_at.is_(None), Memory.expires_at > func.now())
)

_SHOWN = select(
    Memory.id,
    Memory.owner_id,
    Memory.user_id,
    Memory.content,
    Memory.type,
    Memory.key,
    Memory.value,
    Memory.confidence,
    Memory.importance,
    Memory.metadata_.label("metadata"),
    Memory.created_at,
    Memory.updated_at,
    Memory.expires_at,
    Memory.ttl_seconds,
    Memory.is_deleted,
    Memory.ingestion_mode,
    Persona.slug.label("persona"),
    Memory.audience,
    Memory.valid_from,
    Memory.valid_to,
    Memory.superseded_by,
    Memory.source_interaction_id,
    Memory.persona_id,
).outerjoin(Persona, Persona.id == Memory.persona_id)


def memories(user_id: str, *, expired: bool = False, superseded: bool = False) -> Select[Any]:
    """Statement for a user's memories: current ones; or only the expired ones; or superseded ones, too."""
    statement = _SHOWN.where(Memory.user_id == user_id, ~Memory.is_deleted)
    if expired:
        return statement.where(EXPIRED)
    if superseded:
        return statement.where(or_(Memory.expires_at.is_(None), Memory.expires_at > func.now()))
    return statement.where(CURRENT)


def same_key(memory: Row[Any]) -> Select[Any]:
    """Statement for every version of what `memory` is about, deleted ones included; itself alone without a key."""
    if memory.key is None:
        return _SHOWN.where(Memory.id == memory.id)
    return _SHOWN.where(
        Memory.user_id == memory.user_id,
        Memory.key == memory.key,
        Memory.persona_id.is_not_distinct_from(memory.persona_id),
    )


async def current(
    connection: AsyncConnection, user_id: str, persona_id: UUID | None, keys: Collection[str] | None
) -> Sequence[Row[Any]]:
    """The user's current memories, newest first; with a persona, hers and every persona's."""
    statement = memories(user_id).order_by(Memory.created_at.desc(), Memory.id.desc())
    if persona_id is not None:
        statement = statement.where(or_(Memory.persona_id.is_(None), Memory.persona_id == persona_id))
    if keys is not None:
        statement = statement.where(Memory.key.in_(keys))
    rows: Sequence[Row[Any]] = (await connection.execute(statement)).all()
    return rows


async def tellable(connection: AsyncConnection, user_id: str, persona_id: UUID) -> Sequence[Row[Any]]:
    """What may stand in a prompt of this viewer's own, newest first."""
    opted_out = select(User.id).where(User.id == user_id, User.opt_out_recall).exists()
    statement = (
        memories(user_id)
        .where(
            or_(Memory.persona_id.is_(None), Memory.persona_id == persona_id), Memory.audience != "streamer", ~opted_out
        )
        .order_by(Memory.created_at.desc(), Memory.id.desc())
        .limit(MOST_TOLD)
    )
    rows: Sequence[Row[Any]] = (await connection.execute(statement)).all()
    return rows


async def find(connection: AsyncConnection, memory_id: UUID) -> Row[Any] | None:
    """The memory, whatever became of it."""
    row: Row[Any] | None = (await connection.execute(_SHOWN.where(Memory.id == memory_id))).one_or_none()
    return row


async def superseded_by(connection: AsyncConnection, memory_id: UUID) -> Row[Any] | None:
    """The memory that `memory_id` superseded, unless that one was deleted."""
    statement = _SHOWN.where(Memory.superseded_by == memory_id, ~Memory.is_deleted).order_by(Memory.valid_from.desc())
    row: Row[Any] | None = (await connection.execute(statement.limit(1))).one_or_none()
    return row


async def claim_user(connection: AsyncConnection, owner: str, user_id: str) -> None:
    """Have the user exist, and let nobody else change their keys until this transaction ends."""
    await connection.execute(upsert(Owner).values(id=owner).on_conflict_do_nothing())
    await connection.execute(upsert(User).values(owner_id=owner, id=user_id).on_conflict_do_nothing())
    await hold_user(connection, user_id)


async def hold_user(connection: AsyncConnection, user_id: str) -> None:
    """Let nobody else change the user's keys until this transaction ends; nothing happens when there is no such user."""
    # Not so strict that it waits for those who merely store rows that name the user: two of them would wait for each other.
    await connection.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))


async def versions(connection: AsyncConnection, user_id: str, key: str, persona_id: UUID | None) -> list[Version]:
    """The intervals stored under a subject and key."""
    statement = select(Memory.id, Memory.valid_from, Memory.valid_to, Memory.expires_at).where(
        Memory.user_id == user_id,
        Memory.key == key,
        Memory.persona_id.is_not_distinct_from(persona_id),
        ~Memory.is_deleted,
    )
    return [
        Version(row.id, row.valid_from, row.valid_to, row.expires_at) for row in await connection.execute(statement)
    ]


async def create(connection: AsyncConnection, row: dict[str, Any]) -> None:
    """Store a memory, given by column name."""
    await connection.execute(insert(Memory).values(row))


async def set_interval(
    connection: AsyncConnection, memory_id: UUID, valid_to: datetime | None, successor: UUID | None, now: datetime
) -> None:
    """End a memory's validity, or let it hold again."""
    values = {"valid_to": valid_to, "superseded_by": successor, "updated_at": now}
    await connection.execute(update(Memory).where(Memory.id == memory_id).values(values))


async def mark_deleted(connection: AsyncConnection, memory_id: UUID) -> None:
    """Soft delete; a dataset that told it is tainted."""
    await taint(connection, [memory_id])
    values = {"is_deleted": True, "updated_at": func.now()}
    await connection.execute(update(Memory).where(Memory.id == memory_id).values(values))


async def remove(connection: AsyncConnection, memory_id: UUID) -> None:
    """Delete the row and its vectors; what it superseded stays ended, by nobody any more. A dataset that told it is tainted."""
    await taint(connection, [memory_id])
    await connection.execute(update(Memory).where(Memory.superseded_by == memory_id).values(superseded_by=None))
    await connection.execute(delete(Memory).where(Memory.id == memory_id))


async def stats(connection: AsyncConnection, user_id: str) -> Row[Any]:
    """Counts of a user's memories."""
    return (await connection.execute(_STATS, {"user_id": user_id})).one()
