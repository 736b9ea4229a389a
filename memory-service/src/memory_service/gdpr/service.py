"""Erasing a viewer: every row, everything made of it, and a mark on everything that learned from it."""

from functools import partial
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.db import Database, despite_others
from memory_service.gdpr import repository
from memory_service.gdpr.contents import unknown
from memory_service.gdpr.schemas import Deleted, Erased, Tainted
from memory_service.interactions import repository as interactions
from memory_service.personas.service import CurrentPersona
from memory_service.topics import repository as topic_rows
from memory_service.topics import service as topics


async def erase(database: Database, owner: str, user_id: str) -> Erased:
    """Erase everything held of the viewer, all or nothing.

    Raises:
        NotFound: nothing is held under this id.
    """
    return await despite_others(partial(_erase, database, owner, user_id))


async def _erase(database: Database, owner: str, user_id: str) -> Erased:
    async with database.transaction(owner) as connection:
        return await _erased(connection, owner, user_id)


async def _erased(connection: AsyncConnection, owner: str, user_id: str) -> Erased:
    for persona_id in await repository.personas_with_topics(connection):
        # Waits for a refresh that may name topics by the viewer's words.
        await topic_rows.members(connection, persona_id)
    await repository.lock(connection, user_id)
    if not await repository.known(connection, user_id):
        raise unknown(user_id)
    deleted = Deleted.model_validate(await repository.count(connection, user_id))
    tainted = Tainted.model_validate(await repository.learned(connection, user_id))
    await _remove_topics(connection, owner, user_id)
    await interactions.remove_all(connection, await repository.interaction_ids(connection, user_id))
    await interactions.taint(connection, await repository.told(connection, user_id))
    await repository.remove_rest(connection, user_id)
    await repository.forget_answers(connection)
    return Erased(user_id=user_id, deleted=deleted, tainted=tainted, message=_message(user_id, tainted))


async def _remove_topics(connection: AsyncConnection, owner: str, user_id: str) -> None:
    """Take away the topics named after exchanges that go, and have them found again from those that stay."""
    personas: set[UUID] = await repository.remove_topics(connection, user_id)
    for row in await repository.personas(connection, personas):
        persona = CurrentPersona(row.id, row.slug, row.name, row.language, row.settings)
        await topics.enqueue_refresh(connection, owner, persona)


def _message(user_id: str, tainted: Tainted) -> str:
    done = f"Everything held about user {user_id} is deleted."
    live = sorted({deployment.tag for deployment in tainted.deployments if deployment.live})
    if live:
        return f"{done} These models learned from it and still serve: {', '.join(live)}. Train and deploy them again."
    if tainted.exports:
        return f"{done} What learned from it is marked as tainted: train it again before it is deployed."
    return f"{done} Nothing had learned from it."
