"""Typed memories get their vectors like exchanges: from jobs, by healing, and without harm when they are gone."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

import pytest
from memory_service.db import Database
from memory_service.embeddings.sources import MEMORIES
from memory_service.models import Embedding, Memory, RecallDocument
from memory_service.worker import repository
from sqlalchemy import delete, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from .bench import TinyEmbedder, embedded, jobs, memory_statuses, remember, statuses, store, until, working

Gates = Callable[[AsyncEngine, str], AbstractAsyncContextManager[Any]]

_A_MODEL = text("INSERT INTO embedding_models (name, revision, dimension) VALUES ('tiny', '1', 2) RETURNING id")
_WAITING = text("SELECT count(*) FROM pg_locks WHERE NOT granted")


@pytest.fixture(autouse=True)
async def _empty_queue(superuser: AsyncEngine) -> None:
    async with superuser.begin() as connection:
        for table in ("pgqueuer", "pgqueuer_log", "pgqueuer_schedules", "owners", "embedding_models"):
            await connection.execute(text(f"DELETE FROM {table}"))


async def test_memories_and_exchanges_get_their_own_vectors(migrated_url: str, database: Database) -> None:
    model = TinyEmbedder()
    known = await remember(database, "ana", ["likes: rain", "city: Madrid"])
    said = await store(database, "ana", ["hola"])
    others = await remember(database, "bea", ["likes: snow"])
    async with working(migrated_url, database, model):
        await until(lambda: _no_jobs(database))
    assert await embedded(database, "ana") == {*known, *said}
    assert await embedded(database, "bea") == set(others)
    assert await memory_statuses(database, "ana") == ["done", "done"]
    assert await statuses(database, "ana") == ["done"]
    assert sorted(one for call in model.calls for one in call) == ["city: Madrid", "hola", "likes: rain", "likes: snow"]
    async with database.transaction("ana") as connection:
        of_memories = select(RecallDocument.memory_id).join(Embedding, Embedding.document_id == RecallDocument.id)
        of_memories = of_memories.where(RecallDocument.interaction_id.is_(None))
        assert set((await connection.scalars(of_memories)).all()) == set(known)


async def test_a_memory_that_cannot_be_embedded_fails_alone(
    migrated_url: str, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    ids = await remember(database, "ana", ["a", "b poison", "c"])
    async with working(migrated_url, database, TinyEmbedder()):
        await until(lambda: _no_jobs(database))
    assert await memory_statuses(database, "ana") == ["done", "failed", "done"]
    assert await embedded(database, "ana") == {ids[0], ids[2]}
    assert f"{ids[1]} in memories" in caplog.text
    assert "b poison" not in caplog.text


async def test_pending_memories_are_healed(migrated_url: str, database: Database) -> None:
    await remember(database, "ana", ["likes: rain"], enqueue=False)
    await store(database, "ana", ["hola"], enqueue=False)
    await remember(database, "bea", ["likes: snow"], enqueue=False)
    async with working(migrated_url, database, TinyEmbedder(), started=False) as bench:
        await bench.embedder.decided()
        assert await bench.worker.heal() == 3
        bench.worker.start()
        await until(lambda: _no_jobs(database))
        assert await memory_statuses(database, "ana") == await memory_statuses(database, "bea") == ["done"]
        assert await statuses(database, "ana") == ["done"]
        assert await bench.worker.heal() == 0


async def test_jobs_of_exchanges_do_not_keep_memories_from_being_healed(migrated_url: str, database: Database) -> None:
    async with working(migrated_url, database, TinyEmbedder(), started=False) as bench:
        await bench.embedder.decided()
        await store(database, "ana", ["hola"])
        await remember(database, "ana", ["likes: rain"], enqueue=False)
        assert await bench.worker.heal() == 1


async def test_memories_erased_in_the_meantime_are_no_error(migrated_url: str, database: Database) -> None:
    """Before the worker reads them, and while the model is at work on them."""
    early, late, kept = await remember(database, "ana", ["early", "late", "kept"])
    await _erase(database, early)
    model = TinyEmbedder()
    async with working(migrated_url, database, model, let=False):
        await until(lambda: _called(model))
        await _erase(database, late)
        model.let.set()
        await until(lambda: _no_jobs(database))
    assert [sorted(call) for call in model.calls] == [["kept", "late"]]
    assert await embedded(database, "ana") == {kept}
    async with database.unowned() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM pgqueuer_log WHERE status = 'exception'")) == 0


async def test_storing_and_erasing_at_once_do_not_wait_for_each_other(database: Database) -> None:
    (one,) = await remember(database, "ana", ["likes: rain"])
    async with database.transaction("ana") as worker, database.unowned() as watch:
        model = await worker.scalar(_A_MODEL)
        await repository.store(worker, MEMORIES, {one: ["[1,0]"]}, model)
        erased = asyncio.create_task(_erase(database, one))
        while not await watch.scalar(_WAITING):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await repository.settle(worker, MEMORIES, [one], "done")
    await erased
    assert await memory_statuses(database, "ana") == []


async def test_a_batch_given_up_for_another_transaction_is_stored_later(
    migrated_url: str, database: Database, superuser: AsyncEngine, gate: Gates
) -> None:
    (one,) = await remember(database, "ana", ["likes: rain"])
    # The worker has the memory and not yet its document; the other waits for the memory first.
    async with gate(superuser, "BEFORE INSERT ON embeddings FOR EACH STATEMENT") as held, superuser.begin() as other:
        await other.execute(text("SET LOCAL deadlock_timeout = '1min'"))  # so the worker is the one given up
        await other.execute(text("SELECT FROM recall_documents FOR UPDATE"))
        async with working(migrated_url, database, TinyEmbedder()):
            await held.waiting()
            changing = asyncio.create_task(other.execute(text("UPDATE memories SET confidence = 0.5")))
            await held.waiting(2)
            await held.open()
            await changing
            await other.commit()
            await until(lambda: _no_jobs(database))
    assert await embedded(database, "ana") == {one}
    async with database.unowned() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM pgqueuer_log WHERE status = 'exception'")) == 0


async def test_a_superseded_memory_gets_its_vector_too(migrated_url: str, database: Database) -> None:
    """An undo makes it current again."""
    ids = await remember(database, "ana", ["city: Madrid"])
    async with database.transaction("ana") as connection:
        await connection.execute(update(Memory).values(valid_to=Memory.valid_from))
    async with working(migrated_url, database, TinyEmbedder()):
        await until(lambda: _no_jobs(database))
    assert await embedded(database, "ana") == set(ids)


async def _erase(database: Database, memory_id: UUID) -> None:
    async with database.transaction("ana") as connection:
        await connection.execute(delete(Memory).where(Memory.id == memory_id))


async def _called(model: TinyEmbedder) -> bool:
    return bool(model.calls)


async def _no_jobs(database: Database) -> bool:
    return await jobs(database) == []
