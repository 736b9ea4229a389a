"""Asking for embeddings: with the transaction or not at all, never with a text, and in jobs of bounded size."""

import json
from uuid import UUID, uuid4

import pytest
from memory_service.db import Database
from memory_service.embeddings.queue import EmbedJob, enqueue_embedding, enqueue_memory_embedding
from memory_service.embeddings.sources import SOURCES, Source
from memory_service.embeddings.texts import embedded_text
from memory_service.embeddings.vectors import vector_text
from sqlalchemy import text


async def queued(database: Database, owner: str) -> list[bytes]:
    async with database.unowned() as connection:
        payloads = (await connection.scalars(text("SELECT payload FROM pgqueuer"))).all()
    return [payload for payload in payloads if json.loads(payload)["owner"] == owner]


async def test_jobs_commit_with_the_transaction(database: Database, owner: str) -> None:
    ids = [uuid4() for _ in range(130)]
    async with database.transaction(owner) as connection:
        await enqueue_embedding(connection, owner, ids)
    jobs = [EmbedJob.decode(payload) for payload in await queued(database, owner)]
    assert [len(job.ids) for job in jobs] == [64, 64, 2]
    assert {one for job in jobs for one in job.ids} == set(ids)


async def test_each_kind_of_rows_has_its_own_jobs(database: Database, owner: str) -> None:
    said, known = uuid4(), uuid4()
    async with database.transaction(owner) as connection:
        await enqueue_embedding(connection, owner, [said])
        await enqueue_memory_embedding(connection, owner, [known])
    jobs = [EmbedJob.decode(payload) for payload in await queued(database, owner)]
    assert {(job.source.name, job.ids) for job in jobs} == {("interactions", (said,)), ("memories", (known,))}


async def test_a_rollback_takes_the_jobs_back(database: Database, owner: str) -> None:
    async with database.transaction(owner) as connection:
        await enqueue_embedding(connection, owner, [uuid4()])
        await connection.rollback()
    assert await queued(database, owner) == []


async def test_nothing_to_embed_is_no_job(database: Database, owner: str) -> None:
    async with database.transaction(owner) as connection:
        await enqueue_embedding(connection, owner, [])
    assert await queued(database, owner) == []


@pytest.mark.parametrize("source", SOURCES, ids=[one.name for one in SOURCES])
def test_a_job_carries_ids_and_nothing_else(source: Source) -> None:
    job = EmbedJob("ana", source, (UUID(int=1), UUID(int=2)))
    assert EmbedJob.decode(job.encode()) == job
    assert set(json.loads(job.encode())) == {"owner", source.name}


@pytest.mark.parametrize(
    ("said", "answered", "dropped", "embedded"),
    [
        ("¿Cuál?", "La roja.", False, "¿Cuál?\nLa roja."),
        ("¿Cuál?", "Error 500", True, "¿Cuál?"),
        ("¿Cuál?", "  ", False, "¿Cuál?"),
    ],
)
def test_what_stands_for_an_exchange(said: str, answered: str, dropped: bool, embedded: str) -> None:
    assert embedded_text(said, answered, dropped=dropped) == embedded


def test_vectors_are_written_as_pgvector_reads_them() -> None:
    assert vector_text([0.5, -1.0, 1e-7]) == "[0.5,-1,1e-07]"
