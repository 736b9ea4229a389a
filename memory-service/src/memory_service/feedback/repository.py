"""Reads and writes `feedback`."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, insert, select
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.ids import make_id
from memory_service.models import Feedback, Interaction


def of_interaction(interaction_id: UUID) -> Select[Any]:
    """Statement for the interaction's feedback."""
    columns: tuple[Any, ...] = tuple(Feedback.__table__.c)
    return select(*columns).where(Feedback.interaction_id == interaction_id)


async def lock_interaction(connection: AsyncConnection, interaction_id: UUID) -> bool:
    """Make others who rate the same interaction wait for this transaction; False when there is no such interaction."""
    statement = select(Interaction.id).where(Interaction.id == interaction_id).with_for_update()
    return (await connection.execute(statement)).one_or_none() is not None


async def create(connection: AsyncConnection, owner: str, interaction_id: UUID, values: dict[str, Any]) -> Row[Any]:
    """Store an opinion."""
    row = {"id": make_id(), "owner_id": owner, "interaction_id": interaction_id, **values}
    return (await connection.execute(insert(Feedback).values(row).returning(Feedback))).one()


async def ratings(connection: AsyncConnection, interaction_id: UUID) -> Sequence[int]:
    """Every rating of the interaction."""
    statement = select(Feedback.rating).where(Feedback.interaction_id == interaction_id)
    return (await connection.scalars(statement)).all()
