"""What a viewer may decide, and what is known of them."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.errors import NotFound
from memory_service.memories import service as memories
from memory_service.memories.repository import claim_user
from memory_service.memories.schemas import MemoryItem
from memory_service.personas.service import CurrentPersona
from memory_service.users import profile, repository
from memory_service.users.schemas import Context, FieldsSet, Profile, UserItem, UserUpdate


async def change(connection: AsyncConnection, user_id: str, update: UserUpdate) -> UserItem:
    """Record the viewer's consent.

    Raises:
        NotFound: no session was ever opened for this viewer.
    """
    if not await repository.set_consent(connection, user_id, update.model_dump(exclude_none=True)):
        raise NotFound(f"No viewer is called {user_id!r}. A viewer comes into being with its first session.")
    return UserItem.model_validate(await repository.find(connection, user_id))


async def context(connection: AsyncConnection, persona: CurrentPersona, user_id: str) -> Context:
    """What the persona's prompt may say of the viewer; empty for an unknown one."""
    text = profile.context_of(await memories.tellable(connection, user_id, persona_id=persona.id))
    return Context(user_id=user_id, context=text, has_memories=bool(text))


async def show(connection: AsyncConnection, persona: CurrentPersona, user_id: str) -> Profile:
    """The viewer's fields as the persona knows them; none for an unknown viewer."""
    known = await _known(connection, persona, user_id)
    return Profile(user_id=user_id, memories={name: item.value_or_words for name, item in known.items()})


async def set_fields(
    connection: AsyncConnection, owner: str, persona: CurrentPersona, user_id: str, fields: Mapping[str, Any]
) -> FieldsSet:
    """Give the viewer's fields other values, for every persona; null ends a field, what is the same stays untouched.

    Raises:
        BadRequest: a field cannot be stored; none is then.
    """
    wanted = profile.checked(fields)
    if any(value is not None for value in wanted.values()):
        await claim_user(connection, owner, user_id)  # two batches at once must not both start from the same values
    known = await _known(connection, persona, user_id)
    updated = []
    for name, value in wanted.items():
        if await _set(connection, owner, persona, user_id, name, value, known.get(name)):
            updated.append(name)
    total = len(await _known(connection, persona, user_id))
    return FieldsSet(updated_fields=updated, total_fields=total)


async def _known(connection: AsyncConnection, persona: CurrentPersona, user_id: str) -> dict[str, MemoryItem]:
    return profile.known_fields(await memories.current(connection, user_id, persona_id=persona.id))


async def _set(
    connection: AsyncConnection,
    owner: str,
    persona: CurrentPersona,
    user_id: str,
    name: str,
    value: Any,
    known: MemoryItem | None,
) -> bool:
    """Whether the field changed."""
    draft = None if value is None else profile.draft_of(name, value, known)
    unchanged = known is None if value is None else draft is None
    if unchanged:
        return False
    # What only this persona knows would hide the value that now holds for every persona, or outlive its end.
    await memories.retire(connection, user_id, name, persona_id=persona.id)
    if draft is None:
        await memories.retire(connection, user_id, name)
    else:
        await memories.remember(connection, owner, user_id, draft)
    return True


async def forget(connection: AsyncConnection, user_id: str) -> None:
    """Delete every typed memory of the viewer, current or not, whichever persona's; sessions and exchanges stay."""
    await repository.remove_memories(connection, user_id)
