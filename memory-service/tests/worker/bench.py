"""A worker over a real queue with an embedder of two dimensions."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from memory_service.db import Database
from memory_service.embeddings.background import BackgroundEmbedder
from memory_service.embeddings.embedder import Kind, Vectors
from memory_service.embeddings.queue import enqueue_embedding, enqueue_memory_embedding
from memory_service.models import Embedding, Interaction, Memory, RecallDocument
from memory_service.worker import Worker
from sqlalchemy import Select, func, insert, select, text


@dataclass
class TinyEmbedder:
    """Counts calls, refuses texts with "poison", and waits until it is let in each call, and to be loaded."""

    name: str = "tiny"
    revision: str = "r1"
    dimension: int = 2
    let: threading.Event = field(default_factory=threading.Event)
    gate: threading.Event = field(default_factory=threading.Event)
    busy: bool = False
    calls: list[list[str]] = field(default_factory=list)

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        self.busy = True
        self.calls.append(list(texts))
        assert self.let.wait(200)
        self.busy = False
        if any("poison" in one for one in texts):
            raise ValueError("cannot embed poison")
        return np.tile(np.array([0.6, 0.8], np.float32), (len(texts), 1))


@dataclass
class Bench:
    """A worker at work."""

    worker: Worker
    embedder: BackgroundEmbedder
    model: TinyEmbedder


@asynccontextmanager
async def working(
    url: str, database: Database, model: TinyEmbedder, *, loaded: bool = True, let: bool = True, started: bool = True
) -> AsyncIterator[Bench]:
    """A worker that runs for the length of the block, or from its `start` on. It heals by itself whenever a minute begins."""

    def load() -> TinyEmbedder:
        assert model.gate.wait(200)
        return model

    if loaded:
        model.gate.set()
    if let:
        model.let.set()
    embedder = BackgroundEmbedder("tiny", load, database)
    worker = Worker(url, database, embedder)
    embedder.start()
    if started:
        worker.start()
    try:
        yield Bench(worker, embedder, model)
    finally:
        await worker.close()
        await embedder.close()
        model.gate.set()
        model.let.set()


async def until(true: Callable[[], Awaitable[bool]], seconds: float = 60.0) -> None:
    """Return once `true` is; fail when it does not come."""
    deadline = time.monotonic() + seconds
    while not await true():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.05)


async def store(database: Database, owner: str, texts: Sequence[str], *, enqueue: bool = True) -> list[UUID]:
    """Interactions of a viewer of `owner`, one per text, as the service stores them."""
    ids = [uuid4() for _ in texts]
    async with database.transaction(owner) as connection:
        await connection.execute(text("INSERT INTO owners (id) VALUES (:o) ON CONFLICT DO NOTHING"), {"o": owner})
        await connection.execute(
            text("""
                WITH p AS (INSERT INTO personas (id, owner_id, slug, name)
                           VALUES (gen_random_uuid(), :o, 'casiopy', 'Casiopy')
                           ON CONFLICT (owner_id, slug) DO UPDATE SET name = excluded.name RETURNING id),
                     u AS (INSERT INTO users (owner_id, id) VALUES (:o, 'viewer')
                           ON CONFLICT (owner_id, id) DO UPDATE SET opt_out_training = false RETURNING id),
                     s AS (INSERT INTO sessions (id, owner_id, persona_id, user_id)
                           SELECT gen_random_uuid(), :o, p.id, u.id FROM p, u RETURNING id, persona_id, user_id)
                INSERT INTO interactions (id, owner_id, persona_id, session_id, user_id, input_text, quality_score,
                                          quality, content_hash)
                SELECT t.id, :o, s.persona_id, s.id, s.user_id, t.said, 0.5, '{}', sha256(t.id::text::bytea)
                FROM s, unnest(CAST(:ids AS uuid[]), CAST(:said AS text[])) AS t (id, said)
            """),
            {"o": owner, "ids": ids, "said": list(texts)},
        )
        if enqueue:
            await enqueue_embedding(connection, owner, ids)
    return ids


async def remember(database: Database, owner: str, texts: Sequence[str], *, enqueue: bool = True) -> list[UUID]:
    """Typed memories of a viewer of `owner`, one per text, as the service stores them."""
    ids = [uuid4() for _ in texts]
    async with database.transaction(owner) as connection:
        await connection.execute(text("INSERT INTO owners (id) VALUES (:o) ON CONFLICT DO NOTHING"), {"o": owner})
        await connection.execute(
            text("INSERT INTO users (owner_id, id) VALUES (:o, 'viewer') ON CONFLICT DO NOTHING"), {"o": owner}
        )
        rows = [
            {"id": one, "owner_id": owner, "user_id": "viewer", "type": "fact", "content": content}
            for one, content in zip(ids, texts, strict=True)
        ]
        await connection.execute(insert(Memory), rows)
        if enqueue:
            await enqueue_memory_embedding(connection, owner, ids)
    return ids


async def statuses(database: Database, owner: str) -> list[str]:
    """The embedding status of each of the owner's interactions, by text."""
    return await _all(database, owner, select(Interaction.embedding_status).order_by(Interaction.input_text))


async def memory_statuses(database: Database, owner: str) -> list[str]:
    """The embedding status of each of the owner's typed memories, by content."""
    return await _all(database, owner, select(Memory.embedding_status).order_by(Memory.content))


async def embedded(database: Database, owner: str) -> set[UUID]:
    """The interactions and typed memories that have a vector, by the documents that name them."""
    named = select(func.coalesce(RecallDocument.interaction_id, RecallDocument.memory_id))
    return set(await _all(database, owner, named.join(Embedding, Embedding.document_id == RecallDocument.id)))


async def _all(database: Database, owner: str, statement: Select[Any]) -> list[Any]:
    async with database.transaction(owner) as connection:
        return list((await connection.scalars(statement)).all())


async def vectors(database: Database, owner: str) -> int:
    """How many vectors the owner has."""
    async with database.transaction(owner) as connection:
        return int(await connection.scalar(text("SELECT count(*) FROM embeddings")) or 0)


async def jobs(database: Database) -> list[str]:
    """Status of each job in the queue."""
    async with database.unowned() as connection:
        return list((await connection.scalars(text("SELECT status::text FROM pgqueuer ORDER BY id"))).all())
