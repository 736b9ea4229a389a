"""Pooled connections: one that the server closed is replaced unnoticed, one that lay idle is asked, a fresh one is not."""

import asyncio

import pytest
from memory_service import db
from memory_service.db import Database
from sqlalchemy import event, text
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_connection
from sqlalchemy.ext.asyncio import AsyncEngine

_BACKENDS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'casiopy' AND datname = current_database()"
)
_CLOSE = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'casiopy' AND datname = current_database()"
)


async def _at_once(database: Database, count: int) -> None:
    """Have `count` connections in use at once."""

    async def use() -> None:
        async with database.unowned() as connection:
            await connection.execute(text("SELECT pg_sleep(0.05)"))

    await asyncio.gather(*[use() for _ in range(count)])


async def _none_left(superuser: AsyncEngine) -> bool:
    async with superuser.connect() as server:
        return not await server.scalar(_BACKENDS)


async def test_connections_that_the_server_closed_are_replaced(database: Database, superuser: AsyncEngine) -> None:
    await _at_once(database, 3)
    async with superuser.connect() as server:
        await server.execute(_CLOSE)
    deadline = asyncio.get_running_loop().time() + 60
    while not await _none_left(superuser):
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.02)
    await _at_once(database, 3)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The connections that were asked whether they still work."""
    seen: list[object] = []
    ping = AsyncAdapt_asyncpg_connection.ping

    def counted(self: AsyncAdapt_asyncpg_connection) -> None:
        seen.append(self)
        ping(self)

    monkeypatch.setattr(AsyncAdapt_asyncpg_connection, "ping", counted)
    return seen


async def test_only_a_connection_that_lay_idle_is_asked(
    database: Database, asked: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "_ASK_AFTER_IDLE_SECONDS", 3600.0)
    await _at_once(database, 1)
    await _at_once(database, 1)
    assert asked == []
    monkeypatch.setattr(db, "_ASK_AFTER_IDLE_SECONDS", 0.0)
    await _at_once(database, 1)
    assert len(asked) == 1


async def test_a_connection_that_does_not_answer_is_replaced(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _at_once(database, 1)

    def silent(_: object) -> None:
        raise ConnectionResetError("forgotten by a router")

    made: list[object] = []
    event.listen(database.engine.sync_engine, "connect", lambda connection, _: made.append(connection))
    monkeypatch.setattr(AsyncAdapt_asyncpg_connection, "ping", silent)
    monkeypatch.setattr(db, "_ASK_AFTER_IDLE_SECONDS", 0.0)
    await _at_once(database, 1)
    assert len(made) == 1
