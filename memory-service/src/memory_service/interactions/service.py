"""Recording exchanges, and what humans may say about them afterwards."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.core_memory import service as core_memory
from memory_service.embeddings.queue import enqueue_embedding
from memory_service.embeddings.texts import embedded_text, embedded_texts
from memory_service.encryption.blind_index import blind_tokens, both_sides
from memory_service.errors import Conflict, NotFound
from memory_service.ids import make_id
from memory_service.interactions import repository
from memory_service.interactions.content import content_hash
from memory_service.interactions.judging import RECENT_REPLIES, Surroundings, judge
from memory_service.interactions.schemas import InteractionCreate, InteractionItem, QualityUpdate, Stored
from memory_service.personas.service import CurrentPersona
from memory_service.scoring import QualityScore


async def record(
    connection: AsyncConnection,
    owner: str,
    exchanges: Sequence[InteractionCreate],
    begin_embedding: Callable[[Sequence[str]], None] | None = None,
) -> list[Stored]:
    """Score and store exchanges, all or none, and ask for their embeddings; answers in the order given.

    Embeddings come later, from the worker: storing neither waits for the embedder nor fails with it. `begin_embedding` gets
    the texts before they are scored and stored, which takes as long as embedding half of them.

    Raises:
        NotFound, Conflict: a session does not exist or has ended; with several exchanges the message names the index.
    """
    now = datetime.now(UTC)
    sessions = await _open_sessions(connection, exchanges)
    if begin_embedding is not None:
        # As if none were dropped: what is, is seldom, and embedded again.
        wholes = [embedded_text(one.input_text, one.output_text, dropped=False) for one in exchanges]
        begin_embedding([text for whole in wholes for text in embedded_texts(whole)])
    scores = await _scores(connection, exchanges, sessions, now)
    rows = [
        _row(owner, exchange, sessions[exchange.session_id], quality, now)
        for exchange, quality in zip(exchanges, scores, strict=True)
    ]
    said = [both_sides(row["input_text"], row["output_text"]) for row in rows]
    for row, tokens in zip(rows, await blind_tokens(connection, owner, said), strict=True):
        row |= {"blind": tokens.blind, "blind_end": tokens.blind_end}
    await repository.create(connection, rows)
    await enqueue_embedding(connection, owner, [row["id"] for row in rows])
    return [Stored(id=row["id"], quality_score=row["quality_score"]) for row in rows]


async def _open_sessions(connection: AsyncConnection, exchanges: Sequence[InteractionCreate]) -> dict[UUID, Row[Any]]:
    sessions = await repository.session_contexts(connection, {exchange.session_id for exchange in exchanges})
    for index, exchange in enumerate(exchanges):
        where = f"interactions.{index}: " if len(exchanges) > 1 else ""
        session = sessions.get(exchange.session_id)
        if session is None:
            raise NotFound(f"{where}No session has the id {exchange.session_id}. Open one with POST /sessions.")
        if session.ended_at is not None:
            raise Conflict(
                f"{where}Session {session.id} ended at {session.ended_at.isoformat()} and takes no more interactions. "
                "Open a new one with POST /sessions."
            )
    return sessions


async def _scores(
    connection: AsyncConnection, exchanges: Sequence[InteractionCreate], sessions: dict[UUID, Row[Any]], now: datetime
) -> list[QualityScore]:
    """Each exchange's score, judged persona by persona from the oldest exchange to the newest."""
    in_time = sorted(range(len(exchanges)), key=lambda index: exchanges[index].occurred_at or now)
    by_persona: dict[UUID, list[int]] = defaultdict(list)
    for index in in_time:
        by_persona[sessions[exchanges[index].session_id].persona_id].append(index)
    scores: dict[int, QualityScore] = {}
    for indexes in by_persona.values():
        ordered = [exchanges[index] for index in indexes]
        around = await _surroundings(connection, sessions[ordered[0].session_id], ordered[0].occurred_at or now)
        scores.update(zip(indexes, await judge(ordered, around), strict=True))
    return [scores[index] for index in range(len(exchanges))]


async def _surroundings(connection: AsyncConnection, session: Row[Any], before: datetime) -> Surroundings:
    persona = CurrentPersona(session.persona_id, session.slug, session.name, session.language, session.settings)
    prompt = await core_memory.system_prompt(connection, persona)
    replies = await repository.recent_replies(connection, persona.id, before, RECENT_REPLIES)
    return Surroundings(persona.name, persona.settings, prompt.system_prompt, replies)


def _row(
    owner: str, exchange: InteractionCreate, session: Row[Any], quality: QualityScore, now: datetime
) -> dict[str, Any]:
    return {
        "id": make_id(),
        "owner_id": owner,
        "persona_id": session.persona_id,
        "session_id": session.id,
        "user_id": session.user_id,
        "input_text": exchange.input_text,
        "output_text": exchange.output_text,
        "input_emotion": exchange.input_emotion,
        "output_emotion": exchange.output_emotion,
        "model_version": exchange.model_version,
        "occurred_at": exchange.occurred_at or now,
        "audience": exchange.audience,
        "created_at": now,
        "quality_score": quality.score,
        "quality": quality.as_dict(),
        "dropped": bool(quality.drops),
        "content_hash": content_hash(exchange.input_text, exchange.output_text),
        "metadata": exchange.metadata,
    }


async def get(connection: AsyncConnection, interaction_id: UUID) -> InteractionItem:
    """One interaction.

    Raises:
        NotFound: this owner has no such interaction.
    """
    row = await repository.find(connection, interaction_id)
    if row is None:
        raise NotFound(f"No interaction has the id {interaction_id}.")
    return InteractionItem.model_validate(row)


async def overrule(connection: AsyncConnection, owner: str, interaction_id: UUID, score: float) -> None:
    """Put a human's score over the scorer's; an exchange whose reply counts again, or no longer does, is embedded anew."""
    if await repository.override_quality(connection, interaction_id, score):
        await enqueue_embedding(connection, owner, [interaction_id])


async def override_quality(
    connection: AsyncConnection, owner: str, interaction_id: UUID, update: QualityUpdate
) -> InteractionItem:
    """Put a human's score over the scorer's; the scorer's breakdown stays.

    Raises:
        NotFound: no such interaction.
    """
    await overrule(connection, owner, interaction_id, update.quality_score)
    return await get(connection, interaction_id)


async def remove(connection: AsyncConnection, interaction_id: UUID) -> None:
    """Delete an interaction and everything derived from it.

    Raises:
        NotFound: no such interaction.
    """
    if not await repository.remove(connection, interaction_id):
        raise NotFound(f"No interaction has the id {interaction_id}.")
