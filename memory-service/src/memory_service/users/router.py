"""/users: list viewers; change a viewer's consent; show, set and delete what is known of a viewer."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path

from memory_service.fields import UserId
from memory_service.models import User
from memory_service.paging import Page, Paging, fetch_page
from memory_service.personas.service import PersonaFromQuery
from memory_service.unit_of_work import OwnerId, Transaction, TransactionalRoute
from memory_service.users import repository, service
from memory_service.users.schemas import Context, FieldsSet, MemoriesDeleted, Profile, UserItem, UserUpdate

router = APIRouter(prefix="/users", tags=["users"], route_class=TransactionalRoute)

Whose = Annotated[UserId, Path(description="The viewer, under the id the client gives; it may contain slashes.")]
Fields = Annotated[
    dict[str, Any],
    Body(
        description="Field names with their values: any JSON. Null ends a field.",
        examples=[{"name": "Alice", "skills": ["Python", "JavaScript"]}],
    ),
]


@router.get("")
async def list_users(connection: Transaction, paging: Paging) -> Page[UserItem]:
    """Every viewer, by id, with what is stored of them."""
    rows, total, cursor = await fetch_page(connection, repository.users(), [User.__table__.c.id], paging)
    return Page(items=[UserItem.model_validate(row) for row in rows], total=total, next_cursor=cursor)


@router.patch("/{user_id:path}")
async def update_user(user_id: str, update: UserUpdate, connection: Transaction) -> UserItem:
    """Opt a viewer out of training or of recall, or in again; it covers everything stored of them."""
    return await service.change(connection, user_id, update)


@router.get("/{user_id:path}/context/text")
async def user_context(user_id: Whose, connection: Transaction, persona: PersonaFromQuery) -> Context:
    """What is known of a viewer, as text for a prompt: a line for each field, then memories without a name (100 at most)."""
    return await service.context(connection, persona, user_id)


@router.get("/{user_id:path}/memories/raw")
async def user_memories(user_id: Whose, connection: Transaction, persona: PersonaFromQuery) -> Profile:
    """What is known of a viewer, by field: every current memory with a key, whichever way it came in.

    Memories without a key belong to no field; `GET /memory` shows them.
    """
    return await service.show(connection, persona, user_id)


@router.post("/{user_id:path}/memories/batch")
async def set_user_memories(
    user_id: Whose, fields: Fields, connection: Transaction, owner: OwnerId, persona: PersonaFromQuery
) -> FieldsSet:
    """Set fields of a viewer, all or none. What was there is superseded and keeps its interval; null ends a field."""
    return await service.set_fields(connection, owner, persona, user_id, fields)


@router.delete("/{user_id:path}/memories")
async def delete_user_memories(user_id: Whose, connection: Transaction) -> MemoriesDeleted:
    """Delete every typed memory of a viewer, for good. `DELETE /gdpr/delete` erases sessions and exchanges, too."""
    await service.forget(connection, user_id)
    return MemoriesDeleted(message=f"All memories deleted for user {user_id}")
