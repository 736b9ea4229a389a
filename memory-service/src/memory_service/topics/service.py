"""Finding a persona's topics again, and showing them."""

import asyncio
import json
import logging
import re
from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.queries import Queries
from sqlalchemy import select
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.db import Database, raw_connection
from memory_service.embeddings.embedder import Vectors
from memory_service.embeddings.texts import embedded_text
from memory_service.ids import make_id
from memory_service.models import Owner, Persona
from memory_service.personas.service import CurrentPersona
from memory_service.scoring import PersonaStyle
from memory_service.scoring.text import strip_accents
from memory_service.topics import repository
from memory_service.topics.clustering import ENOUGH, NO_TOPIC, find_groups, recognise, similarity_to_centre
from memory_service.topics.keywords import Words, distinctive_words, label_of, words_of
from memory_service.topics.repository import Found

log = logging.getLogger(__name__)

REFRESH_TOPICS = "refresh_topics"


async def enqueue_refresh(connection: AsyncConnection, owner: str, persona: CurrentPersona) -> bool:
    """Have the persona's topics found again soon after the transaction commits; False when that is queued already."""
    queries = Queries(AsyncpgDriver(await raw_connection(connection)))
    payload = json.dumps({"owner": owner, "persona": str(persona.id)}).encode()
    key = f"{REFRESH_TOPICS}:{persona.id}"
    queued = await queries.enqueue([REFRESH_TOPICS], [payload], [0], dedupe_key=[key], on_conflict="skip")
    return queued[0] is not None


async def why_none(connection: AsyncConnection, persona: CurrentPersona) -> str:
    """Why the persona has no topics."""
    count = await repository.count_embedded(connection, persona.id)
    if count < ENOUGH:
        return f"Topics need {ENOUGH} embedded interactions; {persona.slug} has {count}."
    return "None found yet. POST /topics/refresh looks now, and the worker looks every hour."


async def refresh_everyone(database: Database) -> None:
    """Find the topics of every persona of every owner again."""
    async with database.unowned() as connection:
        owners = (await connection.scalars(select(Owner.id).order_by(Owner.id))).all()
    for owner in owners:
        async with database.transaction(owner) as connection:
            personas = (await connection.scalars(select(Persona.id).order_by(Persona.id))).all()
        for persona_id in personas:
            await refresh(database, owner, persona_id)


async def refresh_job(database: Database, payload: bytes) -> None:
    """Carry out what `enqueue_refresh` asked for."""
    asked = json.loads(payload)
    await refresh(database, asked["owner"], UUID(asked["persona"]))


async def refresh(database: Database, owner: str, persona_id: UUID) -> int:
    """Find the persona's topics again and store them; returns how many there are. A topic that goes on keeps its id."""
    async with database.transaction(owner) as connection:
        persona = (
            await connection.execute(select(Persona.name, Persona.settings).where(Persona.id == persona_id))
        ).one_or_none()
        rows = await repository.embedded(connection, persona_id)
    if persona is None:
        return 0  # it is gone
    markers = (*_markers(persona.settings), re.compile(re.escape(strip_accents(persona.name)), re.IGNORECASE))
    said = [words_of(embedded_text(row.input_text, row.output_text, dropped=row.dropped), markers) for row in rows]
    async with database.transaction(owner) as connection:
        telling = await repository.content_words(connection, sorted({word for words in said for word in words}))
    words = [[word for word in one if word in telling] for one in said]
    groups = await asyncio.to_thread(partial(_groups, rows, words))
    async with database.transaction(owner) as connection:
        known = await repository.members(connection, persona_id)
        ids = recognise(known, [[one for one, _ in group.members] for group in groups])
        named = [
            Found(kept or group.id, group.label, group.keywords, group.members)
            for kept, group in zip(ids, groups, strict=True)
        ]
        await repository.replace(connection, owner, persona_id, named)
    log.info("Found %d topics in %d interactions", len(named), len(rows))
    return len(named)


def _markers(settings: dict[str, Any]) -> tuple[re.Pattern[str], ...]:
    """The persona's markers; none when her settings cannot be read, which scoring refuses loudly elsewhere."""
    try:
        return PersonaStyle.from_settings(settings).markers
    except ValueError as error:
        log.warning("Topics are found without the persona's markers: %s", error)
        return ()


def _groups(rows: Sequence[Row[Any]], words: Sequence[Words]) -> list[Found]:
    """The groups that have a name, largest first."""
    if len(rows) < ENOUGH:
        return []
    vectors: Vectors = np.array([row.embedding for row in rows], dtype=np.float32)
    group_of = find_groups(vectors, words)
    groups = [np.flatnonzero(group_of == number) for number in sorted(set(group_of.tolist()) - {NO_TOPIC})]
    keywords = distinctive_words([[words[place] for place in group.tolist()] for group in groups], words)
    found = [
        Found(make_id(), label_of(telling), telling, _members(rows, vectors, group))
        for group, telling in zip(groups, keywords, strict=True)
        if len(telling) >= 2
    ]
    return sorted(found, key=lambda one: (-len(one.members), one.label))


def _members(rows: Sequence[Row[Any]], vectors: Vectors, group: NDArray[np.intp]) -> list[tuple[UUID, float]]:
    similarity = similarity_to_centre(vectors[group])
    return [(rows[place].id, float(near)) for place, near in zip(group.tolist(), similarity.tolist(), strict=True)]
