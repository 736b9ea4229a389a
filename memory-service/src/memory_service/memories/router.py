"""/memory: store, list, show, count, delete; history and undo of what was superseded."""

from dataclasses import replace
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from memory_service.errors import BadRequest, NotFound
from memory_service.fields import UserId, storable_object
from memory_service.memories import grammar, repository, service
from memory_service.memories.draft import Draft
from memory_service.memories.profile import MAX_KEY, MemoryType
from memory_service.memories.schemas import Deleted, MemoryCreate, MemoryItem, MemoryStats
from memory_service.models import Memory
from memory_service.paging import Page, Paging, fetch_page
from memory_service.personas.service import resolve
from memory_service.unit_of_work import OwnerId, Transaction, TransactionalRoute

router = APIRouter(prefix="/memory", tags=["memories"], route_class=TransactionalRoute)

_BY_AGE = (Memory.__table__.c.created_at, Memory.__table__.c.id)
_BY_VALIDITY = (Memory.__table__.c.valid_from, Memory.__table__.c.id)


def _memory_id(memory_id: Annotated[str, Path(description="A memory's id.")]) -> UUID:
    """What is no id names no memory."""
    try:
        return UUID(memory_id)
    except ValueError:
        raise NotFound(f"No memory has the id {memory_id!r}.") from None


MemoryId = Annotated[UUID, Depends(_memory_id)]
Whose = Annotated[UserId, Query(description="Whose memories.")]
WhoseIfGiven = Annotated[str | None, Query(description="When given, the memory must be this user's.")]


def _draft(memory: MemoryCreate) -> Draft:
    """The memory to store, in rules mode with what its content says.

    Raises:
        BadRequest: the content says another type or key than the body.
    """
    draft = Draft(
        type=memory.named_type,
        content=memory.content,
        key=memory.key,
        value=memory.value,
        confidence=memory.confidence,
        importance=memory.importance,
        metadata=memory.metadata,
        ingestion_mode=memory.ingestion_mode,
        ttl_seconds=memory.ttl_seconds,
        expires_at=memory.expires_at,
        valid_from=memory.valid_from,
        audience=memory.audience,
    )
    said = grammar.parse(memory.content) if memory.ingestion_mode == "rules" else None
    if said is None:
        return draft
    if said.type != draft.type:
        raise BadRequest(f"type: the content says {said.type!r}, the body {draft.type!r}. Make them agree.")
    if draft.key not in (None, said.key):
        raise BadRequest(f"key: the content says {said.key!r}, the body {draft.key!r}. Make them agree.")
    try:
        storable_object({"value": said.value}, "value")
    except ValueError as error:
        raise BadRequest(f"content: what follows the = cannot be stored: {error}.") from None
    return replace(draft, key=said.key, value=said.value)


@router.post("")
async def add_memory(memory: MemoryCreate, request: Request, connection: Transaction, owner: OwnerId) -> MemoryItem:
    """Remember something of a user. Under a key that is known it supersedes the current memory, which keeps its interval."""
    draft = _draft(memory)
    if memory.persona is not None:
        persona = await resolve(connection, owner, memory.persona, request.app.state.settings.default_persona)
        draft = replace(draft, persona_id=persona.id)
    return await service.remember(connection, owner, memory.user_id, draft)


@router.get("")
async def list_memories(
    connection: Transaction,
    paging: Paging,
    response: Response,
    user_id: Whose,
    type: Annotated[MemoryType | None, Query(description="Only this type.")] = None,
    memory_type: Annotated[MemoryType | None, Query(description="The same as `type`.")] = None,
    key: Annotated[str | None, Query(max_length=MAX_KEY, description="Only this key.")] = None,
    min_importance: Annotated[int | None, Query(ge=1, le=5, description="At least this important.")] = None,
    expired: Annotated[bool, Query(description="Only what has expired.")] = False,
    superseded: Annotated[bool, Query(description="Also what was superseded or retired.")] = False,
) -> list[MemoryItem]:
    """A user's memories, newest first. `X-Total-Count` counts all pages; `X-Next-Cursor` is the next one's `cursor`."""
    statement = repository.memories(user_id, expired=expired, superseded=superseded)
    for wanted in (type, memory_type):
        if wanted is not None:
            statement = statement.where(Memory.type == wanted)
    if key is not None:
        statement = statement.where(Memory.key == key)
    if min_importance is not None:
        statement = statement.where(Memory.importance >= min_importance)
    rows, total, cursor = await fetch_page(connection, statement, _BY_AGE, paging, descending=True)
    response.headers["X-Total-Count"] = str(total)
    if cursor is not None:
        response.headers["X-Next-Cursor"] = cursor
    return [MemoryItem.model_validate(row) for row in rows]


@router.get("/stats")
async def memory_stats(connection: Transaction, user_id: Whose) -> MemoryStats:
    """A user's memories in numbers."""
    return await service.stats(connection, user_id)


@router.get("/{memory_id}")
async def get_memory(memory_id: MemoryId, connection: Transaction, user_id: WhoseIfGiven = None) -> MemoryItem:
    """One memory, also when it has been superseded or has expired."""
    return await service.get(connection, memory_id, user_id)


@router.get("/{memory_id}/history")
async def memory_history(memory_id: MemoryId, connection: Transaction, paging: Paging) -> Page[MemoryItem]:
    """Every version of what this memory is about, oldest first, deleted ones included."""
    statement = await service.versions_of(connection, memory_id)
    rows, total, cursor = await fetch_page(connection, statement, _BY_VALIDITY, paging)
    return Page(items=[MemoryItem.model_validate(row) for row in rows], total=total, next_cursor=cursor)


@router.post("/{memory_id}/undo")
async def undo_memory(memory_id: MemoryId, connection: Transaction, owner: OwnerId) -> MemoryItem:
    """Take back this memory; the one it superseded holds again and is the answer. 409 when it superseded none."""
    return await service.undo(connection, owner, memory_id)


@router.delete("/{memory_id}/soft")
async def forget_memory(memory_id: MemoryId, connection: Transaction, user_id: WhoseIfGiven = None) -> Deleted:
    """Soft delete: the memory leaves every answer and stays in the table, for good."""
    await service.forget(connection, memory_id, user_id)
    return Deleted(memory_id=memory_id, deleted="soft", message="The memory is deleted; its row is kept.")


@router.delete("/{memory_id}")
async def delete_memory(memory_id: MemoryId, connection: Transaction, user_id: WhoseIfGiven = None) -> Deleted:
    """Hard delete: the row and its vectors are gone."""
    await service.remove(connection, memory_id, user_id)
    return Deleted(memory_id=memory_id, deleted="hard", message="The memory is gone.")
