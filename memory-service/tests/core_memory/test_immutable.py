"""Immutable core memory is the database's own promise: no role and no statement gets past it."""

from uuid import UUID

import pytest
from memory_service.db import Database
from memory_service.errors import IMMUTABLE_CORE_MEMORY
from memory_service.ids import make_id
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

STATEMENTS = {
    "update": "UPDATE core_memory SET value = 'otra cosa' WHERE id = :id",
    "update without a change": "UPDATE core_memory SET value = value WHERE id = :id",
    "flag flip": "UPDATE core_memory SET is_mutable = true WHERE id = :id",
    "flag flip with its neighbour": "UPDATE core_memory SET is_mutable = true WHERE persona_id = :persona",
    "upsert": "INSERT INTO core_memory (id, owner_id, persona_id, category, key, value) "
    "SELECT gen_random_uuid(), owner_id, persona_id, category, key, 'otra cosa' FROM core_memory WHERE id = :id "
    "ON CONFLICT (owner_id, persona_id, category, key) DO UPDATE SET value = excluded.value",
    "merge": "MERGE INTO core_memory AS kept USING (SELECT cast(:id AS uuid) AS id) AS wanted ON kept.id = wanted.id "
    "WHEN MATCHED THEN UPDATE SET value = 'otra cosa'",
    "delete": "DELETE FROM core_memory WHERE id = :id",
    "delete by a modifying query": "WITH gone AS (DELETE FROM core_memory WHERE id = :id RETURNING 1) SELECT * FROM gone",
    "cascade from the persona": "DELETE FROM personas WHERE id = :persona",
    "change of owner": "UPDATE core_memory SET owner_id = 'thief' WHERE id = :id",
}
ONLY_SUPERUSER = {
    "truncate": "TRUNCATE core_memory",
    "truncate by cascade": "TRUNCATE personas CASCADE",
    "cascade from the owner": "DELETE FROM owners WHERE id = :owner",
}
EVERYTHING = STATEMENTS | ONLY_SUPERUSER


@pytest.fixture
async def ids(superuser: AsyncEngine, owner: str) -> dict[str, UUID | str]:
    """An owner, a persona, one immutable entry of hers and one mutable neighbour."""
    known: dict[str, UUID | str] = {"id": make_id(), "persona": make_id(), "neighbour": make_id(), "owner": owner}
    async with superuser.begin() as connection:
        for statement in (
            "INSERT INTO owners (id) VALUES (:owner)",
            "INSERT INTO personas (id, owner_id, slug, name) VALUES (:persona, :owner, 'casiopy', 'Casiopy')",
            "INSERT INTO core_memory (id, owner_id, persona_id, category, key, value, is_mutable) VALUES "
            "(:id, :owner, :persona, 'identity', 'name', 'Te llamas Casiopy.', false), "
            "(:neighbour, :owner, :persona, 'goal', 'season', 'Terminar Metroid.', true)",
        ):
            await connection.execute(text(statement), known)
    return known


async def _refused(connection: AsyncConnection, statement: str, ids: dict[str, UUID | str]) -> str:
    with pytest.raises(DBAPIError) as caught:
        await connection.execute(text(statement), ids)
    return str(getattr(caught.value.orig, "sqlstate", None))


async def _entries(superuser: AsyncEngine, owner: object) -> list[tuple[str, bool]]:
    async with superuser.connect() as connection:
        rows = await connection.execute(
            text("SELECT value, is_mutable FROM core_memory WHERE owner_id = :owner ORDER BY value"), {"owner": owner}
        )
        return [(row.value, row.is_mutable) for row in rows]


UNTOUCHED = [("Te llamas Casiopy.", False), ("Terminar Metroid.", True)]


@pytest.mark.parametrize("name", STATEMENTS)
async def test_the_service_cannot(
    database: Database, superuser: AsyncEngine, owner: str, ids: dict[str, UUID | str], name: str
) -> None:
    with pytest.raises(DBAPIError) as caught:
        async with database.transaction(owner) as connection:
            await connection.execute(text(STATEMENTS[name]), ids)
    assert getattr(caught.value.orig, "sqlstate", None) == IMMUTABLE_CORE_MEMORY
    assert await _entries(superuser, owner) == UNTOUCHED


@pytest.mark.parametrize(
    ("name", "mode"),
    # A replica leaves cascades to the origin: there the entry stays without any guard.
    [
        (name, mode)
        for name in EVERYTHING
        for mode in ("origin", "replica")
        if mode == "origin" or "from the" not in name
    ],
)
async def test_the_superuser_cannot_either(
    superuser: AsyncEngine, owner: str, ids: dict[str, UUID | str], name: str, mode: str
) -> None:
    async with superuser.connect() as connection:
        await connection.execute(text("INSERT INTO owners (id) VALUES ('thief') ON CONFLICT DO NOTHING"))
        await connection.execute(text(f"SET LOCAL session_replication_role = {mode}"))
        assert await _refused(connection, EVERYTHING[name], ids) == IMMUTABLE_CORE_MEMORY
    assert await _entries(superuser, owner) == UNTOUCHED


@pytest.mark.parametrize("table", ["core_memory", "personas", "owners", "interactions"])
async def test_the_service_may_truncate_nothing(database: Database, owner: str, table: str) -> None:
    with pytest.raises(DBAPIError) as caught:
        async with database.transaction(owner) as connection:
            await connection.execute(text(f"TRUNCATE {table} CASCADE"))
    assert getattr(caught.value.orig, "sqlstate", None) == "42501"


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE core_memory DISABLE TRIGGER ALL",
        "DROP TRIGGER immutable_rows ON core_memory",
        "CREATE OR REPLACE FUNCTION guard_immutable_core_memory() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RETURN NEW; END'",
        "SET session_replication_role = replica",
        "DROP TABLE core_memory",
    ],
)
async def test_the_service_cannot_disarm_the_guard(database: Database, owner: str, statement: str) -> None:
    with pytest.raises(DBAPIError) as caught:
        async with database.transaction(owner) as connection:
            await connection.execute(text(statement))
    assert getattr(caught.value.orig, "sqlstate", None) == "42501"


async def test_the_mutable_neighbour_changes_freely(
    database: Database, superuser: AsyncEngine, owner: str, ids: dict[str, UUID | str]
) -> None:
    async with database.transaction(owner) as connection:
        await connection.execute(text("UPDATE core_memory SET value = 'Dormir.' WHERE id = :neighbour"), ids)
        await connection.execute(text("DELETE FROM core_memory WHERE id = :neighbour"), ids)
    assert await _entries(superuser, owner) == UNTOUCHED[:1]
