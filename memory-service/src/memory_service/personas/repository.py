"""Reads and writes `personas`."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.ids import make_id
from memory_service.models import Owner, Persona


async def find(connection: AsyncConnection, slug: str) -> Row[Any] | None:
    """The owner's persona called `slug`."""
    return (await connection.execute(select(Persona).where(Persona.slug == slug))).one_or_none()


async def all_of_owner(connection: AsyncConnection) -> Sequence[Row[Any]]:
    """Every persona of the owner, by slug."""
    return (await connection.execute(select(Persona).order_by(Persona.slug))).all()


async def create(connection: AsyncConnection, owner: str, slug: str) -> None:
    """Create the persona (and its owner) unless a neighbour just did."""
    await connection.execute(insert(Owner).values(id=owner).on_conflict_do_nothing())
    values = {"id": make_id(), "owner_id": owner, "slug": slug, "name": slug.replace("-", " ").title()}
    await connection.execute(insert(Persona).values(values).on_conflict_do_nothing())
