"""Reads and writes `users`."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.interactions.repository import taint
from memory_service.models import Interaction, Memory, Session, User


async def ensure(connection: AsyncConnection, owner: str, user_id: str) -> None:
    """Create the viewer unless it is known. The owner must exist."""
    await connection.execute(insert(User).values(owner_id=owner, id=user_id).on_conflict_do_nothing())


def users() -> Select[Any]:
    """Statement for every viewer, with the number of sessions and interactions."""
    sessions = select(func.count()).where(Session.user_id == User.id).correlate(User)
    interactions = select(func.count()).where(Interaction.user_id == User.id).correlate(User)
    return select(
        User.id,
        User.opt_out_training,
        User.opt_out_recall,
        User.created_at,
        sessions.scalar_subquery().label("sessions"),
        interactions.scalar_subquery().label("interactions"),
    )


async def find(connection: AsyncConnection, user_id: str) -> Row[Any] | None:
    """The viewer as `users()` shows it."""
    row: Row[Any] | None = (await connection.execute(users().where(User.id == user_id))).one_or_none()
    return row


async def set_consent(connection: AsyncConnection, user_id: str, consent: Mapping[str, bool]) -> bool:
    """Record the viewer's consent (`opt_out_training`, `opt_out_recall`); False when there is no such viewer."""
    result = await connection.execute(update(User).where(User.id == user_id).values(**consent))
    return result.rowcount == 1


async def remove_memories(connection: AsyncConnection, user_id: str) -> None:
    """Delete every typed memory of the viewer, whatever became of it, with its vectors; datasets that told one are tainted."""
    await taint(connection, (await connection.scalars(select(Memory.id).where(Memory.user_id == user_id))).all())
    await connection.execute(delete(Memory).where(Memory.user_id == user_id))
