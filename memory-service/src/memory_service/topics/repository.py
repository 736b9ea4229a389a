"""Reads and writes `topics` and `interaction_topics`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Uuid, and_, delete, desc, func, insert, select, text
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.encryption.types import EncryptedText
from memory_service.models import Embedding, EmbeddingModel, Interaction, InteractionTopic, RecallDocument, Topic

# Clustering needs all of them in memory at once; the newest stand for what is talked about now.
NEWEST = 5000

_EXAMPLES = text("""
    SELECT topic_id, input_text
    FROM (
        SELECT topic_id, input_text, row_number() OVER (PARTITION BY topic_id ORDER BY similarity DESC, id) AS place
        FROM interaction_topics JOIN interactions ON interactions.id = interaction_id
        WHERE topic_id = ANY(:topics)
    ) AS placed
    WHERE place <= 3
    ORDER BY topic_id, place
""").columns(topic_id=Uuid, input_text=EncryptedText)
# The stop words of both languages are those PostgreSQL's own dictionaries drop.
_CONTENT_WORDS = text("""
    SELECT word FROM unnest(CAST(:words AS text[])) AS word
    WHERE to_tsvector('spanish', word) <> '' AND to_tsvector('english', word) <> ''
""")
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:persona, 0))")


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as the clustering found it; `members` are interactions with their similarity to the centre."""

    id: UUID
    label: str
    keywords: list[str]
    members: list[tuple[UUID, float]]


def topics(persona_id: UUID) -> Select[Any]:
    """Statement for the persona's topics with the number of their exchanges."""
    count = select(func.count()).where(InteractionTopic.topic_id == Topic.id).scalar_subquery()
    return select(Topic.id, Topic.label, Topic.keywords, count.label("interactions")).where(
        Topic.persona_id == persona_id
    )


async def examples(connection: AsyncConnection, topic_ids: Sequence[UUID]) -> dict[UUID, list[str]]:
    """Up to three inputs nearest to each topic's centre."""
    found: dict[UUID, list[str]] = {}
    for row in await connection.execute(_EXAMPLES, {"topics": list(topic_ids)}):
        said = found.setdefault(row.topic_id, [])
        if row.input_text not in said:
            said.append(row.input_text)
    return found


async def count_embedded(connection: AsyncConnection, persona_id: UUID) -> int:
    """The persona's exchanges that have a vector."""
    statement = select(func.count()).where(Interaction.persona_id == persona_id, Interaction.embedding_status == "done")
    return int(await connection.scalar(statement) or 0)


async def embedded(connection: AsyncConnection, persona_id: UUID) -> Sequence[Row[Any]]:
    """The persona's newest exchanges with their vectors under the active model, oldest first."""
    statement = (
        select(
            Interaction.id, Interaction.input_text, Interaction.output_text, Interaction.dropped, Embedding.embedding
        )
        .join(RecallDocument, RecallDocument.interaction_id == Interaction.id)
        .join(Embedding, and_(Embedding.document_id == RecallDocument.id, Embedding.part == 0))
        .join(EmbeddingModel, EmbeddingModel.id == Embedding.model_id)
        .where(Interaction.persona_id == persona_id, EmbeddingModel.active)
        .order_by(desc(Interaction.occurred_at), desc(Interaction.id))
        .limit(NEWEST)
    )
    return list(reversed((await connection.execute(statement)).all()))


async def content_words(connection: AsyncConnection, words: Sequence[str]) -> set[str]:
    """Those of `words` that are stop words neither in Spanish nor in English."""
    return set((await connection.scalars(_CONTENT_WORDS, {"words": list(words)})).all())


async def members(connection: AsyncConnection, persona_id: UUID) -> dict[UUID, set[UUID]]:
    """The stored topics' exchanges, after waiting for a refresh of the same persona that is under way."""
    await connection.execute(_LOCK, {"persona": str(persona_id)})
    statement = (
        select(Topic.id, InteractionTopic.interaction_id)
        .outerjoin(InteractionTopic, InteractionTopic.topic_id == Topic.id)
        .where(Topic.persona_id == persona_id)
    )
    found: dict[UUID, set[UUID]] = {}
    for row in await connection.execute(statement.order_by(Topic.id)):
        found.setdefault(row.id, set()).update({row.interaction_id} - {None})
    return found


async def replace(connection: AsyncConnection, owner: str, persona_id: UUID, found: Sequence[Found]) -> None:
    """Make `found` the persona's topics."""
    await connection.execute(delete(Topic).where(Topic.persona_id == persona_id))
    if not found:
        return
    rows = [
        {"id": one.id, "owner_id": owner, "persona_id": persona_id, "label": one.label, "keywords": one.keywords}
        for one in found
    ]
    await connection.execute(insert(Topic), rows)
    memberships = [
        {"interaction_id": interaction_id, "topic_id": one.id, "owner_id": owner, "similarity": similarity}
        for one in found
        for interaction_id, similarity in one.members
    ]
    await connection.execute(insert(InteractionTopic), memberships)
