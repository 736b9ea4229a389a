"""Runs the two counting statements beside this file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

_TOTALS, _DISTRIBUTIONS = (
    text((Path(__file__).parent / name).read_text(encoding="utf-8")) for name in ("totals.sql", "distributions.sql")
)


async def totals(connection: AsyncConnection, persona_id: UUID, min_quality: float) -> Row[Any]:
    """Every count of the persona; `min_quality` is the score from which an exchange is training-ready."""
    return (await connection.execute(_TOTALS, {"persona_id": persona_id, "min_quality": min_quality})).one()


async def distributions(connection: AsyncConnection, persona_id: UUID) -> Sequence[Row[Any]]:
    """Interactions by tenth of the score and by day."""
    return (await connection.execute(_DISTRIBUTIONS, {"persona_id": persona_id})).all()
