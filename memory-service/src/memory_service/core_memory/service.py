"""The operator's view of core memory, and the prompt made of it."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.core_memory import prompt, repository
from memory_service.core_memory.schemas import CoreMemoryCreate, CoreMemoryItem, CoreMemoryUpdate, SystemPrompt
from memory_service.errors import BadRequest, NotFound
from memory_service.personas.service import CurrentPersona


async def add(
    connection: AsyncConnection, owner: str, persona: CurrentPersona, entry: CoreMemoryCreate
) -> CoreMemoryItem:
    """Store a new entry. A second one of the same category and key is a conflict."""
    row = await repository.create(connection, owner, persona.id, entry.model_dump(exclude={"persona"}))
    return CoreMemoryItem.model_validate(row)


async def change(connection: AsyncConnection, entry_id: UUID, update: CoreMemoryUpdate) -> CoreMemoryItem:
    """Change a mutable entry.

    Raises:
        BadRequest: nothing to change. NotFound: no such entry. ImmutableCoreMemory (from the database's CM001).
    """
    values = update.model_dump(exclude_none=True)
    if not values:
        raise BadRequest("Send at least one of category, key, value and is_mutable.")
    row = await repository.change(connection, entry_id, values)
    if row is None:
        raise NotFound("No core memory entry has this id.")
    return CoreMemoryItem.model_validate(row)


async def remove(connection: AsyncConnection, entry_id: UUID) -> None:
    """Delete a mutable entry.

    Raises:
        NotFound: no such entry. ImmutableCoreMemory (from the database's CM001).
    """
    if not await repository.remove(connection, entry_id):
        raise NotFound("No core memory entry has this id.")


async def system_prompt(connection: AsyncConnection, persona: CurrentPersona) -> SystemPrompt:
    """Layer 0 as the text a model is given."""
    rows = await repository.all_entries(connection, persona.id)
    text = prompt.render(rows, persona.language)
    return SystemPrompt(persona=persona.slug, system_prompt=text, entries=len(rows), sha256=prompt.sha256(text))
