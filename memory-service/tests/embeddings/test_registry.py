"""One model per database: who may become it, and who is refused."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import pytest
from memory_service.db import Database
from memory_service.embeddings.background import BackgroundEmbedder
from memory_service.embeddings.embedder import Embedder
from memory_service.embeddings.registry import ModelMismatch, activate, active_model, agree_on_model, prepare_model
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

_WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")


@dataclass
class Model:
    name: str
    revision: str = "r1"
    dimension: int = 2


@pytest.fixture(autouse=True)
async def _no_models(superuser: AsyncEngine) -> AsyncIterator[None]:
    yield
    async with superuser.begin() as connection:
        await connection.execute(text("DELETE FROM owners"))
        await connection.execute(text("DELETE FROM embedding_models"))


async def agree(database: Database, model: Model) -> int:
    async with database.unowned() as connection:
        return await agree_on_model(connection, model)


async def store_vector(superuser: AsyncEngine, model_id: int) -> None:
    """A vector of some owner, as small as the schema lets it be."""
    owner = f"owner-{uuid4().hex[:8]}"
    async with superuser.begin() as connection:
        await connection.execute(
            text("""
                WITH o AS (INSERT INTO owners (id) VALUES (:owner) RETURNING id),
                     u AS (INSERT INTO users (owner_id, id) SELECT id, 'v' FROM o RETURNING owner_id),
                     m AS (INSERT INTO memories (id, owner_id, user_id, type, content)
                           SELECT gen_random_uuid(), owner_id, 'v', 'fact', 'x' FROM u RETURNING id)
                SELECT count(*) FROM m
            """),
            {"owner": owner},
        )
        await connection.execute(
            text("""
                INSERT INTO embeddings (owner_id, user_id, document_id, model_id, embedding)
                SELECT owner_id, 'v', id, :model, '[1,0]' FROM recall_documents WHERE owner_id = :owner
            """),
            {"owner": owner, "model": model_id},
        )


async def test_the_first_model_becomes_the_databases_and_stays(database: Database, superuser: AsyncEngine) -> None:
    first = await agree(database, Model("a"))
    await store_vector(superuser, first)
    assert await agree(database, Model("a")) == first


@pytest.mark.parametrize(
    ("model", "same"),
    [
        (Model("/elsewhere/a"), True),  # the same weights under another name
        (Model("a", "r2"), False),
        (Model("a", "r1", 3), False),
        (Model("b", "r9"), False),
        (Model("a", ""), True),  # weights unknown: the name decides
        (Model("b", ""), False),
    ],
)
async def test_another_model_is_refused_once_there_are_vectors(
    database: Database, superuser: AsyncEngine, model: Model, same: bool
) -> None:
    first = await agree(database, Model("a"))
    await store_vector(superuser, first)
    if same:
        assert await agree(database, model) == first
        return
    with pytest.raises(ModelMismatch, match=r"set EMBEDDING_MODEL=a again and restart") as refused:
        await agree(database, model)
    assert "`casiopy reembed`" in str(refused.value)
    assert await agree(database, Model("a")) == first


async def test_without_vectors_the_model_may_still_change(database: Database) -> None:
    first = await agree(database, Model("a"))
    second = await agree(database, Model("b", "r2", 3))
    assert first != second
    assert await agree(database, Model("a")) == first


async def test_two_processes_starting_at_once_agree(database: Database) -> None:
    ids = await asyncio.gather(*(agree(database, Model("a")) for _ in range(5)))
    assert len(set(ids)) == 1


def never() -> Embedder:
    raise AssertionError("it is not loaded here")


async def test_who_waits_for_a_switch_learns_the_model_it_ended_with(
    database: Database, superuser: AsyncEngine
) -> None:
    embedder = BackgroundEmbedder("a", never, database)
    embedder.model_id = await agree(database, Model("a"))

    async def look() -> bool:
        async with database.unowned() as connection:
            return await embedder.is_active(connection)

    assert await look()
    async with database.unowned() as connection:
        await active_model(connection, lock="update")
        looking = asyncio.create_task(look())
        async with superuser.connect() as observer, asyncio.timeout(60):
            while not await observer.scalar(_WAITING):
                await observer.rollback()
                await asyncio.sleep(0.01)
        await activate(connection, await prepare_model(connection, Model("b", "r2")))
    assert not await looking
    assert "holds vectors of b, not of a: restart with EMBEDDING_MODEL=b." in str(embedder.health().detail)


async def test_a_database_that_knows_no_model_says_what_to_do(database: Database) -> None:
    embedder = BackgroundEmbedder("a", never, database)
    async with database.unowned() as connection:
        assert not await embedder.is_active(connection)
    assert "restart to register a." in str(embedder.health().detail)
    assert "None" not in str(embedder.health().detail)
