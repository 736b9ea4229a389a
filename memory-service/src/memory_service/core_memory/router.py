"""/core-memory: list, by category, create; update and delete of mutable entries; the system prompt."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from memory_service.core_memory import repository, service
from memory_service.core_memory.schemas import CoreMemoryCreate, CoreMemoryItem, CoreMemoryUpdate, SystemPrompt
from memory_service.models import CoreMemory
from memory_service.paging import Page, PageRequest, Paging, fetch_page
from memory_service.personas.service import PersonaFromQuery, resolve
from memory_service.unit_of_work import OwnerId, Transaction, TransactionalRoute

router = APIRouter(prefix="/core-memory", tags=["core memory"], route_class=TransactionalRoute)


async def _page(
    connection: Transaction, persona: PersonaFromQuery, paging: PageRequest, category: str | None
) -> Page[CoreMemoryItem]:
    statement = repository.entries(persona.id, category)
    rows, total, cursor = await fetch_page(connection, statement, [CoreMemory.__table__.c.id], paging)
    return Page(items=[CoreMemoryItem.model_validate(row) for row in rows], total=total, next_cursor=cursor)


@router.get("")
async def list_core_memory(
    connection: Transaction, persona: PersonaFromQuery, paging: Paging, category: str | None = None
) -> Page[CoreMemoryItem]:
    """The persona's core memory, oldest entry first."""
    return await _page(connection, persona, paging, category)


@router.get("/system-prompt/generate")
async def generate_system_prompt(connection: Transaction, persona: PersonaFromQuery) -> SystemPrompt:
    """Core memory as one system prompt."""
    return await service.system_prompt(connection, persona)


@router.get("/{category}")
async def list_category(
    category: str, connection: Transaction, persona: PersonaFromQuery, paging: Paging
) -> Page[CoreMemoryItem]:
    """The entries of one category; an unknown one is simply empty."""
    return await _page(connection, persona, paging, category)


@router.post("", status_code=201)
async def create_core_memory(
    entry: CoreMemoryCreate, request: Request, connection: Transaction, owner: OwnerId
) -> CoreMemoryItem:
    """Add an entry. With `is_mutable: false` (the default) nobody can ever change or delete it."""
    persona = await resolve(connection, owner, entry.persona, request.app.state.settings.default_persona)
    return await service.add(connection, owner, persona, entry)


@router.put("/{entry_id}")
async def update_core_memory(entry_id: UUID, update: CoreMemoryUpdate, connection: Transaction) -> CoreMemoryItem:
    """Change a mutable entry; 409 for an immutable one."""
    return await service.change(connection, entry_id, update)


@router.delete("/{entry_id}", status_code=204, response_class=Response)
async def delete_core_memory(entry_id: UUID, connection: Transaction) -> None:
    """Delete a mutable entry; 409 for an immutable one."""
    await service.remove(connection, entry_id)
