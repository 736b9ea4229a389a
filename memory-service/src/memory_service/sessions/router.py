"""/sessions: open, list, show, end; change the consent."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request

from memory_service.models import Session
from memory_service.paging import Page, Paging, fetch_page
from memory_service.personas.service import resolve
from memory_service.sessions import repository, service
from memory_service.sessions.schemas import SessionCreate, SessionEnd, SessionItem, SessionUpdate
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
async def get_session(session_id: UUID, connection: Transaction) -> SessionItem:
    """One session."""
    return await service.get(connection, session_id)


@router.post("/{session_id}/end")
async def end_session(session_id: UUID, connection: Transaction, end: SessionEnd | None = None) -> SessionItem:
    """End the session: it takes no more interactions. Ending it again changes nothing."""
    return await service.end(connection, session_id, end or SessionEnd())


@router.patch("/{session_id}")
async def update_session(session_id: UUID, update: SessionUpdate, connection: Transaction) -> SessionItem:
    """Change the consent for this session."""
    return await service.change(connection, session_id, update)
