"""Reads and writes `sessions`."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.ids import make_id
from memory_service.models import Interaction, Persona, Session
from memory_service.sessions.identity import named_by

_WITH_PERSONA: Select[Any] = select(
    Session.id,
    Session.name.label("own_name"),
    Session.user_id,
    Session.ended_at,
    Session.persona_id,
    Persona.slug,
    Persona.name,
    Persona.language,
    Persona.settings,
).join(Persona, Persona.id == Session.persona_id)


def sessions(user_id: str | None = None, persona: str | None = None) -> Select[Any]:
    """Statement for the sessions of a viewer and a persona, each or both optional, with their number of exchanges."""
    count = select(func.count()).where(Interaction.session_id == Session.id).correlate(Session).scalar_subquery()
    statement = select(
        Session.id,
        Session.name,
        Session.user_id,
        Persona.slug.label("persona"),
        Session.opt_out_training,
        Session.started_at,
        Session.ended_at,
        Session.metadata_.label("metadata"),
        count.label("interactions"),
    ).join(Persona, Persona.id == Session.persona_id)
    if user_id is not None:
        statement = statement.where(Session.user_id == user_id)
    return statement if persona is None else statement.where(Persona.slug == persona)


async def find(connection: AsyncConnection, session: str | UUID) -> Row[Any] | None:
    """The session as `sessions()` shows it."""
    row: Row[Any] | None = (await connection.execute(sessions().where(named_by(session)))).one_or_none()
    return row


async def with_persona(connection: AsyncConnection, session: str | UUID) -> Row[Any] | None:
    """The session, and the persona that speaks in it."""
    row: Row[Any] | None = (await connection.execute(_WITH_PERSONA.where(named_by(session)))).one_or_none()
    return row


async def create(connection: AsyncConnection, owner: str, persona_id: UUID, values: dict[str, Any]) -> UUID | None:
    """Store a session; its id, or None when its id or name is taken (an id possibly by another owner).

    The viewer must exist.
    """
    row = {"id": make_id(), "owner_id": owner, "persona_id": persona_id, **values}
    made = insert(Session).values(row).on_conflict_do_nothing().returning(Session.id)
    created: UUID | None = await connection.scalar(made)
    return created


async def lock(connection: AsyncConnection, session_id: UUID) -> bool:
    """Keep others from erasing the session or writing its summary until the transaction ends; False when it is gone."""
    statement = select(Session.id).where(Session.id == session_id).with_for_update(key_share=True)
    return await connection.scalar(statement) is not None


async def remove(connection: AsyncConnection, session_id: UUID) -> None:
    """Delete the session and whatever is left in it."""
    await connection.execute(delete(Session).where(Session.id == session_id))


async def end(connection: AsyncConnection, session_id: UUID, ended_at: datetime | None) -> None:
    """End the session unless it has ended already: the first end stays. Never before it started."""
    moment = func.greatest(Session.started_at, ended_at or func.now())
    statement = update(Session).where(Session.id == session_id, Session.ended_at.is_(None))
    await connection.execute(statement.values(ended_at=moment))


async def set_opt_out(connection: AsyncConnection, session_id: UUID, opt_out: bool) -> None:
    """Record the consent for this session."""
    await connection.execute(update(Session).where(Session.id == session_id).values(opt_out_training=opt_out))
