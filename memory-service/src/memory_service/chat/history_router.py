"""/history: everything said in a session, and erasing it."""

from fastapi import APIRouter

from memory_service.sessions import service
from memory_service.sessions.identity import SessionInPath
from memory_service.sessions.schemas import HistoryErased, SessionHistory
from memory_service.unit_of_work import Transaction, TransactionalRoute

router = APIRouter(prefix="/history", tags=["chat"], route_class=TransactionalRoute)


@router.get("/{session_id}")
async def get_history(session_id: SessionInPath, connection: Transaction) -> SessionHistory:
    """Everything said in a session, in order."""
    return await service.whole_history(connection, session_id)


@router.delete("/{session_id}")
async def delete_history(session_id: SessionInPath, connection: Transaction) -> HistoryErased:
    """Erase what was said and the session's summary; the session stays, and so does what is known of the viewer."""
    session = await service.clear(connection, session_id)
    return HistoryErased(message=f"Historial de sesión {session.session_id} eliminado")
