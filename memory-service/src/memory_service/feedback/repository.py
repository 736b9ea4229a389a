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


async def lock_interaction(connection: AsyncConnection, interaction_id: UUID) -> float | None:
    """Make others who rate the same interaction wait for this transaction; its score, None without such a one."""
    statement = select(Interaction.quality_score).where(Interaction.id == interaction_id).with_for_update()
    return await connection.scalar(statement)


async def create(connection: AsyncConnection, owner: str, interaction_id: UUID, values: dict[str, Any]) -> Row[Any]:
    """Store an opinion."""
    row = {"id": make_id(), "owner_id": owner, "interaction_id": interaction_id, **values}
    return (await connection.execute(insert(Feedback).values(row).returning(Feedback))).one()


async def ratings(connection: AsyncConnection, interaction_id: UUID) -> Sequence[int]:
    """Every rating of the interaction."""
    statement = select(Feedback.rating).where(Feedback.interaction_id == interaction_id, Feedback.rating.is_not(None))
    return [rating for rating in await connection.scalars(statement) if rating is not None]
