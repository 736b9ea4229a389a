"""The life of a conversation: it begins, its consent may change, its history may be cleared, it ends once or is erased."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.errors import BadRequest, Conflict, NotFound
from memory_service.ids import make_id
from memory_service.personas.service import CurrentPersona
from memory_service.sessions import history, repository, summaries
from memory_service.sessions.identity import as_uuid
from memory_service.sessions.schemas import (
    HistoryMessage,
    SessionCreate,
    SessionDetail,
    SessionEnd,
    SessionHistory,
    SessionItem,
    SessionNew,
    SessionUpdate,
    SummaryItem,
)
from memory_service.users import repository as users

# Exchanges shown with a session; /history has all.
_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Conversation:
    """A session as those who speak in it need it.

    Attributes:
        ref: its id as the client knows it.
    """

    id: UUID
    ref: str
    user_id: str
    ended_at: datetime | None
    persona: CurrentPersona


def viewer_of(ref: str) -> str:
    """The viewer of a session for which none was named: known by the session alone."""
    return f"session:{ref}"


async def start(
    connection: AsyncConnection, owner: str, persona: CurrentPersona, session: SessionCreate
) -> SessionItem:
    """Open a session; a viewer seen for the first time comes into being."""
    values = {
        "user_id": session.user_id,
        "opt_out_training": session.opt_out_training,
        "metadata_": session.metadata,
    }
    if session.started_at is not None:
        values["started_at"] = session.started_at
    await users.ensure(connection, owner, session.user_id)
    created = await repository.create(connection, owner, persona.id, values)
    return await get(connection, str(created))


async def start_under(
    connection: AsyncConnection, owner: str, persona: CurrentPersona, ref: str, user_id: str | None
) -> UUID | None:
    """Open a session under an id of the client's choice; None when the id is taken, by whomever."""
    viewer = user_id or viewer_of(ref)
    await users.ensure(connection, owner, viewer)
    uuid = as_uuid(ref)
    identity: dict[str, Any] = {"name": ref} if uuid is None else {"id": uuid}
    return await repository.create(connection, owner, persona.id, {"user_id": viewer, **identity})


async def start_new(
    connection: AsyncConnection, owner: str, persona: CurrentPersona, session: SessionNew
) -> SessionItem:
    """Open a session of which nothing need be known.

    Raises:
        Conflict: the id is taken. NotFound: by somebody else.
    """
    ref = session.session_id or str(make_id())
    created = await start_under(connection, owner, persona, ref, session.user_id)
    if created is None:
        await get(connection, ref)
        raise Conflict(f"session_id: {ref} is taken. Choose another one, or leave it out.")
    return await get(connection, str(created))


def missing(ref: str) -> NotFound:
    """What to say when this owner has no such session."""
    return NotFound(f"No session has the id {ref}. POST /sessions opens one.")


async def get(connection: AsyncConnection, ref: str) -> SessionItem:
    """One session.

    Raises:
        NotFound: this owner has no such session.
    """
    row = await repository.find(connection, ref)
    if row is None:
        raise missing(ref)
    return SessionItem.model_validate(row)


async def find_conversation(connection: AsyncConnection, ref: str | UUID) -> Conversation | None:
    """The session with the persona that speaks in it, if this owner has it."""
    row = await repository.with_persona(connection, ref)
    if row is None:
        return None
    persona = CurrentPersona(row.persona_id, row.slug, row.name, row.language, row.settings)
    return Conversation(row.id, row.own_name or str(row.id), row.user_id, row.ended_at, persona)


async def conversation(connection: AsyncConnection, ref: str) -> Conversation:
    """The same.

    Raises:
        NotFound: this owner has no such session.
    """
    found = await find_conversation(connection, ref)
    if found is None:
        raise missing(ref)
    return found


async def end(connection: AsyncConnection, ref: str, end: SessionEnd) -> SessionItem:
    """End the session. Ending it again changes nothing and shows when it ended.

    Raises:
        NotFound: no such session. BadRequest: it would end before it started.
    """
    session = await get(connection, ref)
    if end.ended_at is not None and end.ended_at < session.started_at:
        raise BadRequest(f"ended_at: the session started at {session.started_at.isoformat()}, it cannot end before.")
    await repository.end(connection, session.id, end.ended_at)
    return await get(connection, ref)


async def change(connection: AsyncConnection, ref: str, update: SessionUpdate) -> SessionItem:
    """Record the consent for this session.

    Raises:
        NotFound: no such session.
    """
    session = await get(connection, ref)
    await repository.set_opt_out(connection, session.id, update.opt_out_training)
    return await get(connection, ref)


async def detail(connection: AsyncConnection, ref: str) -> SessionDetail:
    """One session, its summary and what was said last.

    Raises:
        NotFound: no such session.
    """
    session = await get(connection, ref)
    summary = await summaries.find(connection, session.id)
    spoken = await history.newest(connection, session.id, _SHOWN)
    shown = {"summary": summary.text if summary else "", "messages": _messages(spoken)}
    return SessionDetail(**session.model_dump(exclude={"session_id", "history"}), **shown)


async def whole_history(connection: AsyncConnection, ref: str) -> SessionHistory:
    """Everything said in the session.

    Raises:
        NotFound: no such session.
    """
    session = await get(connection, ref)
    messages = _messages(await history.everything(connection, session.id))
    return SessionHistory(session_id=session.session_id, total_mensajes=len(messages), historial=messages)


def _messages(exchanges: list[history.Exchange]) -> list[HistoryMessage]:
    messages = []
    for exchange in exchanges:
        messages.append(HistoryMessage(role="user", content=exchange.said, timestamp=exchange.occurred_at))
        if exchange.answered:
            answer = HistoryMessage(role="assistant", content=exchange.answered, timestamp=exchange.answered_at)
            messages.append(answer)
    return messages


async def clear(connection: AsyncConnection, ref: str) -> SessionItem:
    """Erase what was said and the summary. The session stays, and so does what is known of the viewer.

    Raises:
        NotFound: no such session.
    """
    session = await get(connection, ref)
    await history.erase(connection, session.id, keep_learned=True)
    return session


async def remove(connection: AsyncConnection, ref: str) -> SessionItem:
    """Erase the session, what was said in it, and what was learned from that; answers with the session that was.

    Raises:
        NotFound: no such session.
    """
    session = await get(connection, ref)
    await history.erase(connection, session.id, keep_learned=False)
    await repository.remove(connection, session.id)
    return session


async def summary(connection: AsyncConnection, ref: str) -> SummaryItem:
    """The session's running summary.

    Raises:
        NotFound: no such session.
    """
    session = await get(connection, ref)
    found = await summaries.find(connection, session.id)
    if found is None:
        return SummaryItem(session_id=session.session_id, summary="", written_by=None, updated_at=None)
    return SummaryItem(
        session_id=session.session_id,
        summary=found.text,
        written_by=found.written_by,
        updated_at=found.updated_at,
    )


async def set_summary(connection: AsyncConnection, owner: str, ref: str, text: str) -> SummaryItem:
    """Put an operator's summary in place: it stands for everything said so far, and what is said later extends it.

    An empty one forgets: what was said so far is not summarised again.

    Raises:
        NotFound: no such session.
    """
    session = await get(connection, ref)
    await repository.lock(connection, session.id)
    covers = await summaries.last_place(connection, session.id)
    await summaries.write(connection, owner, session.id, text.strip(), covers)
    return await summary(connection, ref)
