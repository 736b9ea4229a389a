"""The next batch of what waits: what was asked for first, then the oldest, and never the whole backlog read for it."""

from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest
from memory_service.db import Database
from memory_service.embeddings.sources import INTERACTIONS
from memory_service.worker import repository
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from .bench import store

_READ = text("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'interactions'")


@pytest.mark.parametrize(
    ("asked", "busy", "batch", "found"),
    [
        ([5, 3], [], 4, [3, 5, 0, 1]),
        ([5, 3], [], 1, [3]),
        ([5, 3], [3, 0], 4, [5, 1, 2, 4]),
        ([5, 3], [], 20, [3, 5, 0, 1, 2, 4, 6, 7]),
        ([5, 3], [5, 3], 4, []),
        ([8, 9], [], 4, []),  # done and failed: nothing that was asked for is left
        ([8, 2], [], 2, [2, 0]),
        ([], [], 4, []),
    ],
)
async def test_what_was_asked_for_comes_first_then_the_oldest(
    database: Database, owner: str, asked: Sequence[int], busy: Sequence[int], batch: int, found: Sequence[int]
) -> None:
    ids = sorted(await store(database, owner, ["a text"] * 10, enqueue=False))
    await store(database, f"{owner}-other", ["not mine"], enqueue=False)
    async with database.transaction(owner) as connection:
        await repository.settle(connection, INTERACTIONS, [ids[8]], "done")
        await repository.settle(connection, INTERACTIONS, [ids[9]], "failed")
        rows = await repository.waiting(
            connection, INTERACTIONS, [*(ids[one] for one in asked), uuid4()], [ids[one] for one in busy], batch
        )
    assert [row.id for row in rows] == [ids[one] for one in found]
    assert {row.input_text for row in rows} <= {"a text"}


async def test_a_batch_costs_the_same_however_much_waits(
    database: Database, superuser: AsyncEngine, owner: str
) -> None:
    ids = sorted(await store(database, owner, ["a text"] * 2_000, enqueue=False))
    async with superuser.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("VACUUM ANALYZE interactions"))
    assert await _rows_read(database, owner, ids[1_000:1_002], ids[:64]) <= 64 * 5


async def _rows_read(database: Database, owner: str, asked: Sequence[UUID], busy: Sequence[UUID]) -> int:
    async with database.transaction(owner) as connection:
        # So small a table is read faster whole.
        await connection.execute(text("SET LOCAL enable_seqscan = off"))
        before = await connection.scalar(_READ)
        assert len(await repository.waiting(connection, INTERACTIONS, asked, busy, 64)) == 64
        return int(await connection.scalar(_READ)) - int(before)
