"""A human's word decides whether a reply counts: an exchange that is dropped, or no longer is, gets other vectors."""

from uuid import UUID

import pytest
from memory_service.db import Database
from memory_service.interactions import service
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from .bench import TinyEmbedder, statuses, store, until, vectors, working


@pytest.fixture(autouse=True)
async def _empty_queue(superuser: AsyncEngine) -> None:
    async with superuser.begin() as connection:
        for table in ("pgqueuer", "pgqueuer_log", "owners", "embedding_models"):
            await connection.execute(text(f"DELETE FROM {table}"))


async def test_an_exchange_that_counts_again_is_embedded_with_its_reply(migrated_url: str, database: Database) -> None:
    dropped = await _a_dropped_exchange(database)
    model = TinyEmbedder()
    async with working(migrated_url, database, model):
        await until(lambda: _done(database, 1))
        await _overrule(database, dropped, 1.0)
        await until(lambda: _done(database, 1))
        assert model.calls == [["Which one?"], ["Which one?\nThe red one."]]
        await _overrule(database, dropped, 0.9)  # counts as before
        assert await statuses(database, "ana") == ["done"]
        await _overrule(database, dropped, 0.0)
        await until(lambda: _done(database, 1))
    assert model.calls == [["Which one?"], ["Which one?\nThe red one."], ["Which one?"]]


async def test_vectors_of_what_it_said_before_are_not_kept(migrated_url: str, database: Database) -> None:
    dropped = await _a_dropped_exchange(database)
    model = TinyEmbedder()
    async with working(migrated_url, database, model, let=False):
        await until(lambda: _called(model))
        await _overrule(database, dropped, 1.0)  # while the model is at the old text
        model.let.set()
        await until(lambda: _done(database, 1))
    assert model.calls == [["Which one?"], ["Which one?\nThe red one."]]


async def test_without_a_reply_the_text_stays_and_so_do_its_vectors(migrated_url: str, database: Database) -> None:
    dropped = await _a_dropped_exchange(database, reply=" ")
    async with working(migrated_url, database, TinyEmbedder()):
        await until(lambda: _done(database, 1))
    await _overrule(database, dropped, 1.0)
    assert await _done(database, 1)


async def _a_dropped_exchange(database: Database, reply: str = "The red one.") -> UUID:
    [dropped] = await store(database, "ana", ["Which one?"])
    async with database.transaction("ana") as connection:
        await connection.execute(
            text("UPDATE interactions SET output_text = :reply, dropped = true, quality = :quality"),
            {"reply": reply, "quality": '{"drops": ["refusal"]}'},
        )
    return dropped


async def _overrule(database: Database, interaction: UUID, score: float) -> None:
    async with database.transaction("ana") as connection:
        await service.overrule(connection, "ana", interaction, score)


async def _done(database: Database, count: int) -> bool:
    return (await statuses(database, "ana"), await vectors(database, "ana")) == (["done"] * count, count)


async def _called(model: TinyEmbedder) -> bool:
    return bool(model.calls)
