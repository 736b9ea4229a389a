"""GET /stats."""

from fastapi import APIRouter

from memory_service.personas.service import PersonaFromQuery
from memory_service.stats import service
from memory_service.stats.schemas import Stats
from memory_service.unit_of_work import Transaction, TransactionalRoute

router = APIRouter(prefix="/stats", tags=["stats"], route_class=TransactionalRoute)


@router.get("")
async def stats(connection: Transaction, persona: PersonaFromQuery) -> Stats:
    """How much there is of everything, and how good the exchanges are."""
    return await service.count(connection, persona)
