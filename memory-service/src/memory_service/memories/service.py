"""The life of a memory: it is stored, superseded, retired, taken back, deleted; one door for every slice that remembers."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.embeddings.queue import enqueue_memory_embedding
from memory_service.encryption.blind_index import blind_tokens
from memory_service.errors import BadRequest, Conflict, NotFound
from memory_service.ids import make_id
from memory_service.memories import repository
from memory_service.memories.draft import Draft
from memory_service.memories.schemas import MAX_TTL_SECONDS, MemoryItem, MemoryStats
from memory_service.memories.supersession import place


async def remember(connection: AsyncConnection, owner: str, user_id: str, draft: Draft) -> MemoryItem:
    """Store a memory. Under a key that is known it supersedes the current one, or takes its place in the past.

    Raises:
        BadRequest: it would have expired already, or `ttl_seconds` and `expires_at` contradict each other.
    """
    await repository.claim_user(connection, owner, user_id)
    now = datetime.now(UTC)
    ttl_seconds, expires_at = _lifetime(draft, now)
    known = [] if draft.key is None else await repository.versions(connection, user_id, draft.key, draft.persona_id)
    placement = place(known, draft.valid_from, now)
    memory_id = make_id()
    (tokens,) = await blind_tokens(connection, owner, [draft.content])
    if placement.ends is not None:
        await repository.set_interval(connection, placement.ends, placement.ended_at, memory_id, now)
    row = {
        "id": memory_id,
        "owner_id": owner,
        "user_id": user_id,
        "persona_id": draft.persona_id,
        "type": draft.type,
        "content": draft.content,
        "key": draft.key,
        "value": draft.value,
        "confidence": draft.confidence,
        "importance": draft.importance,
        "metadata_": dict(draft.metadata),
        "ingestion_mode": draft.ingestion_mode,
        "ttl_seconds": ttl_seconds,
        "expires_at": expires_at,
        "valid_from": placement.valid_from,
        "valid_to": placement.valid_to,
        "superseded_by": placement.superseded_by,
        "audience": draft.audience,
        "source_interaction_id": draft.source_interaction_id,
        "created_at": now,
        "updated_at": now,
        "blind": tokens.blind,
        "blind_end": tokens.blind_end,
    }
    await repository.create(connection, row)
    await enqueue_memory_embedding(connection, owner, [memory_id])
    return await get(connection, memory_id)


def _lifetime(draft: Draft, now: datetime) -> tuple[int | None, datetime | None]:
    """Seconds to live and the moment they end, each from the other."""
    if draft.ttl_seconds is None and draft.expires_at is None:
        return None, None
    if draft.expires_at is None:
        assert draft.ttl_seconds is not None  # noqa: S101  (the case before)
        return draft.ttl_seconds, now + timedelta(seconds=draft.ttl_seconds)
    remaining = (draft.expires_at - now).total_seconds()
    if remaining <= 0:
        raise BadRequest("expires_at: the moment has passed. Send a later one, or ttl_seconds.")
    if draft.ttl_seconds is not None and abs(draft.ttl_seconds - remaining) > 60:
        raise BadRequest("ttl_seconds and expires_at contradict each other. Send one of them.")
    if remaining > MAX_TTL_SECONDS:
        raise BadRequest("expires_at: the moment is more than 68 years away. Leave it out to keep the memory for good.")
    return draft.ttl_seconds or max(1, round(remaining)), draft.expires_at


async def get(connection: AsyncConnection, memory_id: UUID, user_id: str | None = None) -> MemoryItem:
    """One memory, superseded, expired or not; a deleted one is gone.

    Raises:
        NotFound: this owner (and user, where given) has no such memory.
    """
    return MemoryItem.model_validate(await _existing(connection, memory_id, user_id))


async def current(
    connection: AsyncConnection,
    user_id: str,
    *,
    persona_id: UUID | None = None,
    keys: Collection[str] | None = None,
) -> list[MemoryItem]:
    """The user's current memories, newest first. With a persona: hers and those that are every persona's."""
    rows = await repository.current(connection, user_id, persona_id, keys)
    return [MemoryItem.model_validate(row) for row in rows]


async def tellable(connection: AsyncConnection, user_id: str, *, persona_id: UUID) -> list[MemoryItem]:
    """The current memories that may stand in a prompt of this viewer's own, newest first, at most `MOST_TOLD`.

    Not what is the streamer's alone, and nothing of a viewer who opted out of recall.
    """
    rows = await repository.tellable(connection, user_id, persona_id)
    return [MemoryItem.model_validate(row) for row in rows]


async def retire(
    connection: AsyncConnection, user_id: str, key: str, *, persona_id: UUID | None = None
) -> MemoryItem | None:
    """End what is current under `key` without a successor ("I no longer live in Madrid"); None when nothing is."""
    await repository.hold_user(connection, user_id)  # or a successor that comes in meanwhile would lose its place
    rows = await repository.current(connection, user_id, persona_id, [key])
    row = next((row for row in rows if row.persona_id == persona_id), None)
    if row is None:
        return None
    now = datetime.now(UTC)
    await repository.set_interval(connection, row.id, max(now, row.valid_from), None, now)
    return await get(connection, row.id)


async def undo(connection: AsyncConnection, owner: str, memory_id: UUID) -> MemoryItem:
    """Take a memory back and let the one it superseded hold again; that one is the answer.

    Raises:
        NotFound: no such memory. Conflict: it superseded nothing that is still there.
    """
    row = await _existing(connection, memory_id)
    await repository.claim_user(connection, owner, row.user_id)
    row = await _existing(connection, memory_id)
    before = await repository.superseded_by(connection, memory_id)
    if before is None:
        raise Conflict("This memory superseded nothing that is still there. DELETE /memory/{id}/soft takes it away.")
    await repository.mark_deleted(connection, memory_id)
    await repository.set_interval(connection, before.id, row.valid_to, row.superseded_by, datetime.now(UTC))
    return await get(connection, before.id)


async def forget(connection: AsyncConnection, memory_id: UUID, user_id: str | None = None) -> None:
    """Soft delete: it leaves every answer and stays in the table.

    Raises:
        NotFound: no such memory, or deleted already.
    """
    await _existing(connection, memory_id, user_id)
    await repository.mark_deleted(connection, memory_id)


async def remove(connection: AsyncConnection, memory_id: UUID, user_id: str | None = None) -> None:
    """Delete the row, soft-deleted or not, with its vectors.

    Raises:
        NotFound: no such memory.
    """
    await _existing(connection, memory_id, user_id, deleted_too=True)
    await repository.remove(connection, memory_id)


async def stats(connection: AsyncConnection, user_id: str) -> MemoryStats:
    """A user's memories in numbers; all zero for an unknown user."""
    return MemoryStats.model_validate(await repository.stats(connection, user_id), from_attributes=True)


async def versions_of(connection: AsyncConnection, memory_id: UUID) -> Any:
    """Statement for the history of what a memory is about.

    Raises:
        NotFound: no such memory.
    """
    return repository.same_key(await _existing(connection, memory_id, deleted_too=True))


async def _existing(
    connection: AsyncConnection, memory_id: UUID, user_id: str | None = None, *, deleted_too: bool = False
) -> Row[Any]:
    row = await repository.find(connection, memory_id)
    if row is None or (row.is_deleted and not deleted_too) or user_id not in (None, row.user_id):
        raise NotFound(f"No memory has the id {memory_id}.")
    return row
