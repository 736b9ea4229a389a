"""/sessions: open, list, show, end, clear, erase; consent, summary and the viewer's structured memory."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from memory_service.models import Session
from memory_service.paging import Page, Paging, fetch_page
from memory_service.personas.service import resolve
from memory_service.sessions import repository, service, structured
from memory_service.sessions.identity import SessionInPath
from memory_service.sessions.schemas import (
    SessionCreate,
    SessionDetail,
    SessionEnd,
    SessionErased,
    SessionItem,
    SessionNew,
    SessionReset,
    SessionUpdate,
    SummaryItem,
    SummaryUpdate,
)
from memory_service.sessions.structured import StructuredMemory
from memory_service.unit_of_work import OwnerId, Transaction, TransactionalRoute

router = APIRouter(prefix="/sessions", tags=["sessions"], route_class=TransactionalRoute)

_ORDER = (Session.__table__.c.started_at, Session.__table__.c.id)


@router.post("", status_code=201)
async def create_session(
    session: SessionCreate, request: Request, connection: Transaction, owner: OwnerId
) -> SessionItem:
    """Open a conversation of a viewer with a persona."""
    persona = await resolve(connection, owner, session.persona, request.app.state.settings.default_persona)
    return await service.start(connection, owner, persona, session)


@router.post("/new")
async def open_session(
    request: Request, connection: Transaction, owner: OwnerId, session: SessionNew | None = None
) -> SessionItem:
    """Open a conversation of which nothing need be known; without a body, too."""
    asked = session or SessionNew()
    persona = await resolve(connection, owner, asked.persona, request.app.state.settings.default_persona)
    return await service.start_new(connection, owner, persona, asked)


@router.get("")
async def list_sessions(
    connection: Transaction,
    paging: Paging,
    user_id: Annotated[str | None, Query(description="Only this viewer's sessions.")] = None,
    persona: Annotated[str | None, Query(description="Only sessions with this persona (slug).")] = None,
) -> Page[SessionItem]:
    """Sessions, newest first."""
    statement = repository.sessions(user_id, persona)
    rows, total, cursor = await fetch_page(connection, statement, _ORDER, paging, descending=True)
    return Page(items=[SessionItem.model_validate(row) for row in rows], total=total, next_cursor=cursor)


@router.get("/{session_id}")
async def get_session(session_id: SessionInPath, connection: Transaction) -> SessionDetail:
    """One session, its summary, and what was said last."""
    return await service.detail(connection, session_id)


@router.post("/{session_id}/end")
async def end_session(session_id: SessionInPath, connection: Transaction, end: SessionEnd | None = None) -> SessionItem:
    """End the session: it takes no more interactions. Ending it again changes nothing."""
    return await service.end(connection, session_id, end or SessionEnd())


@router.patch("/{session_id}")
async def update_session(session_id: SessionInPath, update: SessionUpdate, connection: Transaction) -> SessionItem:
    """Change the consent for this session."""
    return await service.change(connection, session_id, update)


@router.post("/{session_id}/reset")
async def reset_session(session_id: SessionInPath, connection: Transaction) -> SessionReset:
    """Erase the session's exchanges and summary; the session stays.

    The structured memory is the viewer's, not the session's: it stays, and `/memory/reset` clears it.
    """
    session = await service.clear(connection, session_id)
    message = "History and summary are erased. What is known of the viewer stays; POST …/memory/reset clears it."
    return SessionReset(session_id=session.session_id, message=message)


@router.delete("/{session_id}")
async def delete_session(session_id: SessionInPath, connection: Transaction) -> SessionErased:
    """Erase the session, its exchanges and summary, and the memories learned from them.

    Datasets and adapters that hold one of the exchanges become tainted.
    """
    session = await service.remove(connection, session_id)
    return SessionErased(session_id=session.session_id, message="The session and everything said in it are erased.")


@router.get("/{session_id}/summary")
async def get_summary(session_id: SessionInPath, connection: Transaction) -> SummaryItem:
    """The running summary: what was said before the last exchanges."""
    return await service.summary(connection, session_id)


@router.put("/{session_id}/summary")
async def put_summary(
    session_id: SessionInPath, update: SummaryUpdate, connection: Transaction, owner: OwnerId
) -> SummaryItem:
    """Write the summary by hand. It stands for everything said so far; what is said later extends it."""
    return await service.set_summary(connection, owner, session_id, update.summary)


@router.post("/{session_id}/summary/reset")
async def reset_summary(session_id: SessionInPath, connection: Transaction, owner: OwnerId) -> SummaryItem:
    """Empty the summary; what was said so far is not summarised again."""
    return await service.set_summary(connection, owner, session_id, "")


@router.get("/{session_id}/memory")
async def get_memory(session_id: SessionInPath, connection: Transaction) -> StructuredMemory:
    """What is known of the session's viewer, whichever door it came through."""
    return await structured.show(connection, await service.conversation(connection, session_id))


@router.put("/{session_id}/memory")
async def put_memory(
    session_id: SessionInPath, wanted: StructuredMemory, connection: Transaction, owner: OwnerId
) -> StructuredMemory:
    """Replace what is known of the session's viewer. Old values keep their history; a section left out becomes empty."""
    session = await service.conversation(connection, session_id)
    return await structured.replace(connection, owner, session, wanted)


@router.post("/{session_id}/memory/reset")
async def reset_memory(session_id: SessionInPath, connection: Transaction, owner: OwnerId) -> StructuredMemory:
    """Empty the four sections of the viewer's memory."""
    session = await service.conversation(connection, session_id)
    return await structured.replace(connection, owner, session, StructuredMemory())
