"""Reads and writes `core_memory`. The guard against changing immutable rows is a trigger, not a condition here."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, func, insert, select, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.ids import make_id
from memory_service.models import CoreMemory


def entries(persona_id: UUID, category: str | None = None) -> Select[Any]:
    """Statement for the persona's entries, optionally of one category."""
    statement = select(CoreMemory).where(CoreMemory.persona_id == persona_id)
    return statement if category is None else statement.where(CoreMemory.category == category)


async def all_entries(connection: AsyncConnection, persona_id: UUID) -> Sequence[Row[Any]]:
    """Every entry, oldest id first (the order the prompt keeps within a category)."""
    rows: Sequence[Row[Any]] = (await connection.execute(entries(persona_id).order_by(CoreMemory.id))).all()
    return rows


async def create(connection: AsyncConnection, owner: str, persona_id: UUID, values: dict[str, Any]) -> Row[Any]:
    """Store an entry."""
    row = {"id": make_id(), "owner_id": owner, "persona_id": persona_id, **values}
    return (await connection.execute(insert(CoreMemory).values(row).returning(CoreMemory))).one()


async def change(connection: AsyncConnection, entry_id: UUID, values: dict[str, Any]) -> Row[Any] | None:
    """Change an entry; None when there is none. The database raises CM001 for an immutable one."""
    statement = update(CoreMemory).where(CoreMemory.id == entry_id).values(updated_at=func.now(), **values)
    return (await connection.execute(statement.returning(CoreMemory))).one_or_none()


async def remove(connection: AsyncConnection, entry_id: UUID) -> bool:
    """Delete an entry; False when there is none. The database raises CM001 for an immutable one."""
    result = await connection.execute(delete(CoreMemory).where(CoreMemory.id == entry_id))
    return result.rowcount == 1
