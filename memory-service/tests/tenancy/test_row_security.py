"""Even SQL without a WHERE sees and touches the transaction's owner alone."""

from typing import Any

import pytest
from memory_service.db import SERVICE_ROLE, Database
from memory_service.models import Base
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

TENANT_TABLES = sorted(name for name, table in Base.metadata.tables.items() if "owner_id" in table.columns)
# A column any row may set to itself: an UPDATE without a WHERE.
_OWN_CHANGE = "UPDATE {table} SET owner_id = owner_id"


async def _rows(engine: AsyncEngine, table: str, owner: str) -> list[Any]:
    async with engine.connect() as connection:
        query = text(f"SELECT to_jsonb(kept) FROM {table} AS kept WHERE owner_id = :owner")
        return list(await connection.scalars(query, {"owner": owner}))


async def _count(connection: AsyncConnection, table: str) -> int:
    return int(await connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


@pytest.mark.parametrize("table", TENANT_TABLES)
async def test_a_forgotten_where_stays_within_the_owner(
    database: Database, superuser: AsyncEngine, tenants: Any, table: str
) -> None:
    mine, theirs = tenants
    before = await _rows(superuser, table, theirs.owner)
    own = len(await _rows(superuser, table, mine.owner))
    assert len(before) == own > 0
    async with database.transaction(mine.owner) as connection:
        assert await _count(connection, table) == own
        assert (await connection.execute(text(_OWN_CHANGE.format(table=table)))).rowcount == own
        assert (await connection.execute(text(f"DELETE FROM {table}"))).rowcount == own
        assert await _count(connection, table) == 0
    assert await _rows(superuser, table, theirs.owner) == before


@pytest.mark.parametrize("table", TENANT_TABLES)
async def test_without_an_owner_nothing_is_there(database: Database, tenants: Any, table: str) -> None:
    async with database.unowned() as connection:
        assert await _count(connection, table) == 0
        assert (await connection.execute(text(_OWN_CHANGE.format(table=table)))).rowcount == 0
        assert (await connection.execute(text(f"DELETE FROM {table}"))).rowcount == 0


@pytest.mark.parametrize("table", TENANT_TABLES)
async def test_no_row_changes_hands(database: Database, superuser: AsyncEngine, tenants: Any, table: str) -> None:
    mine, theirs = tenants
    with pytest.raises(DBAPIError) as caught:
        async with database.transaction(mine.owner) as connection:
            await connection.execute(text(f"UPDATE {table} SET owner_id = :owner"), {"owner": theirs.owner})
    assert getattr(caught.value.orig, "sqlstate", None) == "42501"
    assert len(await _rows(superuser, table, mine.owner)) == len(await _rows(superuser, table, theirs.owner))


async def test_the_owner_does_not_outlive_its_transaction(database: Database, tenants: Any) -> None:
    mine, _ = tenants
    for _round in range(12):  # more than the pool has connections
        async with database.transaction(mine.owner) as connection:
            assert await _count(connection, "interactions") == 1
        async with database.unowned() as connection:
            assert await _count(connection, "interactions") == 0


CROSSINGS = {
    "a session with their persona": "INSERT INTO sessions (id, owner_id, persona_id, user_id) "
    "VALUES (gen_random_uuid(), :owner, :their_persona, :user)",
    "a session of their viewer": "INSERT INTO sessions (id, owner_id, persona_id, user_id) "
    "VALUES (gen_random_uuid(), :owner, :persona, :their_user)",
    "an interaction in their session": "UPDATE interactions SET session_id = :their_session WHERE id = :interaction",
    "feedback on their interaction": "INSERT INTO feedback (id, owner_id, interaction_id, rating) "
    "VALUES (gen_random_uuid(), :owner, :their_interaction, 1)",
    "a vector of their document": "UPDATE embeddings SET document_id = :their_document, part = 1 WHERE owner_id = :owner",
    "a term of their document": "INSERT INTO recall_terms (owner_id, shelf, term, document_id, times, end_times) "
    "VALUES (:owner, :user, 'x', :their_document, 1, 0)",
    "their interaction in a topic": "INSERT INTO interaction_topics (interaction_id, topic_id, owner_id, similarity) "
    "VALUES (:their_interaction, :topic, :owner, 0.5)",
    "core memory of their persona": "INSERT INTO core_memory (id, owner_id, persona_id, category, key, value) "
    "VALUES (gen_random_uuid(), :owner, :their_persona, 'like', 'x', 'x')",
    "a deployment of their adapter": "UPDATE deployments SET lora_version_id = :their_adapter WHERE id = :deployment",
    "a row of their export": "INSERT INTO training_export_rows (training_export_id, interaction_id, owner_id, row_number, "
    "split, content_hash) VALUES (:their_export, :interaction, :owner, 1, 'train', 'h')",
}


@pytest.mark.parametrize("name", CROSSINGS)
@pytest.mark.parametrize("role", ["service", "superuser"])
async def test_no_row_points_into_another_owners_data(
    database: Database, superuser: AsyncEngine, tenants: Any, name: str, role: str
) -> None:
    mine, theirs = tenants
    values = {**mine.values, **{f"their_{key}": value for key, value in theirs.values.items()}}
    with pytest.raises(DBAPIError) as caught:
        async with superuser.begin() if role == "superuser" else database.transaction(mine.owner) as connection:
            await connection.execute(text(CROSSINGS[name]), values)
    assert getattr(caught.value.orig, "sqlstate", None) == "23503"


async def _one(superuser: AsyncEngine, query: str) -> Any:
    async with superuser.connect() as connection:
        return (await connection.execute(text(query), {"role": SERVICE_ROLE})).one()


async def test_the_service_works_in_a_role_that_is_nobody(database: Database, superuser: AsyncEngine) -> None:
    async with database.unowned() as connection:
        assert await connection.scalar(text("SELECT current_user")) == SERVICE_ROLE
    role = await _one(
        superuser,
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication, rolcanlogin FROM pg_roles "
        "WHERE rolname = :role",
    )
    assert not any(role)
    memberships = await _one(
        superuser, "SELECT count(*) FROM pg_auth_members JOIN pg_roles ON pg_roles.oid = member WHERE rolname = :role"
    )
    assert memberships == (0,)
    owned = await _one(
        superuser,
        "SELECT (SELECT count(*) FROM pg_class WHERE relowner = to_regrole(:role)) + "
        "(SELECT count(*) FROM pg_proc WHERE proowner = to_regrole(:role))",
    )
    assert owned == (0,)


async def test_the_role_may_truncate_and_create_nothing(superuser: AsyncEngine) -> None:
    allowed = await _one(
        superuser,
        "SELECT count(*) FILTER (WHERE has_table_privilege(:role, oid, 'TRUNCATE')), "
        "count(*) FILTER (WHERE has_table_privilege(:role, oid, 'TRIGGER')), "
        "count(*) FILTER (WHERE has_table_privilege(:role, oid, 'MAINTAIN')) "
        "FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace",
    )
    assert allowed == (0, 0, 0)
    assert await _one(superuser, "SELECT has_schema_privilege(:role, 'public', 'CREATE')") == (False,)


async def test_a_key_is_found_only_by_who_holds_it(database: Database, tenants: Any) -> None:
    mine, theirs = tenants
    find = text("SELECT key_owner FROM authenticate_key(:hash)")
    async with database.transaction(mine.owner) as connection:
        assert await connection.scalar(find, {"hash": theirs.values["key_hash"]}) == theirs.owner
        assert await connection.scalar(find, {"hash": b"another"}) is None
        assert await _count(connection, "api_keys") == 1
