"""The life of a conversation: it begins, its consent may change, it ends once."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.errors import BadRequest, NotFound
from memory_service.personas.service import CurrentPersona
from memory_service.sessions import repository
from memory_service.sessions.schemas import SessionCreate, SessionEnd, SessionItem, SessionUpdate
from memory_service.users import repository as users


async def start(
    connection: AsyncConnection, owner: str, persona: CurrentPersona, session: SessionCreate
) -> SessionItem:
    """Open a session; a viewer seen for the first time comes into being."""
    await users.ensure(connection, owner, session.user_id)
    values = {
        "user_id": session.user_id,
        "opt_out_training": session.opt_out_training,
        "metadata_": session.metadata,
    }
    if session.started_at is not None:
        values["started_at"] = session.started_at
    return await get(connection, await repository.create(connection, owner, persona.id, values))


async def get(connection: AsyncConnection, session_id: UUID) -> SessionItem:
    """One session.

    Raises:
        NotFound: this owner has no such session.
    """
    row = await repository.find(connection, session_id)
    if row is None:
        raise NotFound(f"No session has the id {session_id}. POST /sessions opens one.")
    return SessionItem.model_validate(row)


async def end(connection: AsyncConnection, session_id: UUID, end: SessionEnd) -> SessionItem:
    """End the session. Ending it again changes nothing and shows when it ended.

    Raises:
        NotFound: no such session. BadRequest: it would end before it started.
    """
    session = await get(connection, session_id)
    if end.ended_at is not None and end.ended_at < session.started_at:
        raise BadRequest(f"ended_at: the session started at {session.started_at.isoformat()}, it cannot end before.")
    await repository.end(connection, session_id, end.ended_at)
    return await get(connection, session_id)


async def change(connection: AsyncConnection, session_id: UUID, update: SessionUpdate) -> SessionItem:
    """Record the consent for this session.

    Raises:
        NotFound: no such session.
    """
    await repository.set_opt_out(connection, session_id, update.opt_out_training)
    return await get(connection, session_id)
