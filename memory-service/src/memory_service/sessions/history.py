"""What was said in a session: reading it in order, and erasing it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, delete, literal, select, tuple_, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.interactions import repository as interactions
from memory_service.models import Interaction, Memory, SessionSummary
from memory_service.sessions import repository

_EXCHANGES: Select[Any] = select(
    Interaction.id,
    Interaction.input_text,
    Interaction.output_text,
    Interaction.occurred_at,
    Interaction.dropped,
    Interaction.metadata_.label("metadata"),
)


def after(place: tuple[datetime, UUID]) -> ColumnElement[bool]:
    """Condition for the exchanges that follow the one at `place`, given as (occurred_at, id)."""
    return tuple_(Interaction.occurred_at, Interaction.id) > tuple_(literal(place[0]), literal(place[1]))


@dataclass(frozen=True, slots=True)
class Exchange:
    """One message and its answer.

    Attributes:
        answered: empty where nothing was answered.
        answered_at: when the answer was complete; when the message came where nobody noted it.
        agent: which agent answered; None: the persona.
        dropped: the scorer's word that the answer is none of hers (an error, a refusal).
    """

    id: UUID
    said: str
    answered: str
    occurred_at: datetime
    answered_at: datetime
    agent: str | None = None
    dropped: bool = False


async def newest(connection: AsyncConnection, session_id: UUID, limit: int) -> list[Exchange]:
    """The session's last exchanges, oldest first."""
    wanted = _EXCHANGES.where(Interaction.session_id == session_id)
    latest = wanted.order_by(Interaction.occurred_at.desc(), Interaction.id.desc()).limit(limit)
    return [_exchange(row) for row in reversed((await connection.execute(latest)).all())]


async def everything(connection: AsyncConnection, session_id: UUID) -> list[Exchange]:
    """All exchanges, oldest first."""
    return await _in_order(connection, Interaction.session_id == session_id)


async def following(
    connection: AsyncConnection, session_id: UUID, place: tuple[datetime, UUID] | None, limit: int
) -> list[Exchange]:
    """The first exchanges after the one at `place` (None: from the beginning), oldest first."""
    conditions = [Interaction.session_id == session_id]
    if place is not None:
        conditions.append(after(place))
    return await _in_order(connection, *conditions, limit=limit)


async def _in_order(
    connection: AsyncConnection, *conditions: ColumnElement[bool], limit: int | None = None
) -> list[Exchange]:
    statement = _EXCHANGES.where(*conditions).order_by(Interaction.occurred_at, Interaction.id).limit(limit)
    return [_exchange(row) for row in (await connection.execute(statement)).all()]


def _exchange(row: Row[Any]) -> Exchange:
    agent = row.metadata.get("answered_by")
    return Exchange(
        id=row.id,
        said=row.input_text,
        answered=row.output_text,
        occurred_at=row.occurred_at,
        answered_at=_moment(row.metadata.get("answered_at")) or row.occurred_at,
        agent=agent if isinstance(agent, str) else None,
        dropped=row.dropped,
    )


def _moment(written: object) -> datetime | None:
    """Metadata is the client's: what is no moment with a zone is not one of ours."""
    if not isinstance(written, str):
        return None
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


async def erase(connection: AsyncConnection, session_id: UUID, *, keep_learned: bool) -> None:
    """Erase every exchange and the summary; datasets and adapters that hold an exchange become tainted.

    `keep_learned`: the memories made from the exchanges stay with the viewer; otherwise they go with them.
    """
    await repository.lock(connection, session_id)
    await connection.execute(delete(SessionSummary).where(SessionSummary.session_id == session_id))
    ids = (await connection.scalars(select(Interaction.id).where(Interaction.session_id == session_id))).all()
    if keep_learned:
        await _detach(connection, session_id)
    await interactions.remove_all(connection, ids)


async def _detach(connection: AsyncConnection, session_id: UUID) -> None:
    """Let memories outlive the exchanges they were made from."""
    said = select(Interaction.id).where(Interaction.session_id == session_id)
    statement = update(Memory).where(Memory.source_interaction_id.in_(said))
    await connection.execute(statement.values(source_interaction_id=None))
