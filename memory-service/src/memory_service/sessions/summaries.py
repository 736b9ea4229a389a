"""The running summary of a session: what it says, and up to which exchange it says so."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.models import Interaction, SessionSummary
from memory_service.sessions.history import after

# The last exchanges stand in the prompt word for word; the summary is for what came before them.
RECENT_EXCHANGES = 8
# A summary costs a call of the model: one for every few exchanges, which the prompt holds until then.
SUMMARISED_AT_ONCE = 4

Place = tuple[datetime, UUID]


@dataclass(frozen=True, slots=True)
class Summary:
    """A summary as it is stored.

    Attributes:
        covers: the last exchange it speaks of, as (occurred_at, id); None: of none.
    """

    text: str
    covers: Place | None
    written_by: Literal["model", "operator"]
    updated_at: datetime


async def find(connection: AsyncConnection, session_id: UUID, *, lock: bool = False) -> Summary | None:
    """The session's summary; with `lock`, nobody changes it until the transaction ends."""
    statement = select(
        SessionSummary.text,
        SessionSummary.covers_until,
        SessionSummary.covers_interaction_id,
        SessionSummary.written_by,
        SessionSummary.updated_at,
    ).where(SessionSummary.session_id == session_id)
    row = (await connection.execute(statement.with_for_update() if lock else statement)).one_or_none()
    if row is None:
        return None
    covers = None if row.covers_interaction_id is None else (row.covers_until, row.covers_interaction_id)
    return Summary(row.text, covers, row.written_by, row.updated_at)


async def write(
    connection: AsyncConnection,
    owner: str,
    session_id: UUID,
    text: str,
    covers: Place | None,
    *,
    model_version: str | None = None,
) -> None:
    """Store the session's summary in place of the one before. Without `model_version` an operator wrote it."""
    covers_until, covers_interaction_id = covers or (None, None)
    values = {
        "text": text,
        "covers_until": covers_until,
        "covers_interaction_id": covers_interaction_id,
        "written_by": "operator" if model_version is None else "model",
        "model_version": model_version,
        "updated_at": func.clock_timestamp(),
    }
    row = insert(SessionSummary).values(session_id=session_id, owner_id=owner, **values)
    await connection.execute(row.on_conflict_do_update(index_elements=["session_id"], set_=values))


async def last_place(connection: AsyncConnection, session_id: UUID, *, skip: int = 0) -> Place | None:
    """Where the last exchange stands, or with `skip` the one that so many follow; None when there is none."""
    statement = (
        select(Interaction.occurred_at, Interaction.id)
        .where(Interaction.session_id == session_id)
        .order_by(Interaction.occurred_at.desc(), Interaction.id.desc())
        .offset(skip)
        .limit(1)
    )
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else (row.occurred_at, row.id)


async def is_due(connection: AsyncConnection, session_id: UUID) -> bool:
    """Whether enough exchanges have left the recent window without being summarised."""
    summary = await find(connection, session_id)
    statement = select(func.count()).where(Interaction.session_id == session_id)
    if summary is not None and summary.covers is not None:
        statement = statement.where(after(summary.covers))
    waiting = int(await connection.scalar(statement) or 0)
    return waiting >= RECENT_EXCHANGES + SUMMARISED_AT_ONCE
