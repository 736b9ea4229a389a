"""GET /personas."""

from fastapi import APIRouter

from memory_service.paging import Page
from memory_service.personas import repository
from memory_service.personas.schemas import PersonaItem
from memory_service.personas.service import PersonaFromQuery
from memory_service.unit_of_work import Transaction, TransactionalRoute

router = APIRouter(prefix="/personas", tags=["personas"], route_class=TransactionalRoute)


@router.get("")
async def list_personas(connection: Transaction, _default: PersonaFromQuery) -> Page[PersonaItem]:
    """Every character of the caller, the default one included."""
    rows = await repository.all_of_owner(connection)
    return Page(items=[PersonaItem.model_validate(row) for row in rows], total=len(rows), next_cursor=None)
