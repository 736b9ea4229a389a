"""Migrations, models and the init script are one schema, and every table in it keeps the house's promises."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import asyncpg
from memory_service.db import asyncpg_arguments, normal_url
from memory_service.embedded.binaries import find_binaries
from memory_service.models import Base
from memory_service.schema import differences_from_models, head_revision, migrate, schema_sql
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

ROOT = Path(__file__).parents[3]
INIT_SCRIPT = ROOT / "init-scripts" / "01_init_schema.sql"

# Shared by all owners: the list of owners, the embedding models, the schema's own revision, the queue library's tables.
SHARED = {"owners", "embedding_models", "alembic_version", "rate_limit_buckets", "encryption_state"}
QUEUE = "pgqueuer"


async def test_migrations_make_what_the_models_say(migrated_url: str) -> None:
    assert await differences_from_models(migrated_url) == []


async def test_a_missing_column_would_be_noticed(empty_database_url: str) -> None:
    await migrate(empty_database_url)
    await _execute(empty_database_url, "ALTER TABLE feedback DROP COLUMN comment")
    assert len(await differences_from_models(empty_database_url)) == 1


def test_the_init_script_is_generated_from_the_migrations() -> None:
    assert INIT_SCRIPT.read_text(encoding="utf-8") == schema_sql(), "run `make generate`"


async def test_the_init_script_builds_what_the_migrations_build(migrated_url: str, empty_database_url: str) -> None:
    await _run_script(empty_database_url, INIT_SCRIPT.read_text(encoding="utf-8"))
    assert _dump(empty_database_url) == _dump(migrated_url)
    assert await differences_from_models(empty_database_url) == []
    await migrate(empty_database_url)
    assert await _revision(empty_database_url) == head_revision()


async def test_processes_that_migrate_at_once_wait_for_each_other(migrated_url: str, empty_database_url: str) -> None:
    program = "import asyncio, sys; from memory_service.schema import migrate; asyncio.run(migrate(sys.argv[1]))"
    command = [sys.executable, "-c", program, empty_database_url]
    processes = [await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE) for _ in range(2)]
    outputs = [(await process.communicate())[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert _dump(empty_database_url) == _dump(migrated_url)


async def test_migrating_again_changes_nothing(migrated_url: str) -> None:
    before = _dump(migrated_url)
    await migrate(migrated_url)
    assert _dump(migrated_url) == before


async def _names(superuser: AsyncEngine, query: str) -> list[str]:
    async with superuser.connect() as connection:
        return [str(name) for name in await connection.scalars(text(query))]


async def test_every_table_belongs_to_an_owner_and_hides_the_others(superuser: AsyncEngine) -> None:
    tables = await _names(superuser, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    tenants = {table for table in tables if table not in SHARED and not table.startswith(QUEUE)}
    assert tenants == set(Base.metadata.tables) - SHARED
    owned = await _names(
        superuser,
        "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'owner_id' "
        "AND is_nullable = 'NO'",
    )
    assert set(owned) == tenants
    guarded = await _names(
        superuser,
        "SELECT relname FROM pg_class JOIN pg_policy ON polrelid = pg_class.oid WHERE relrowsecurity AND polcmd = '*' "
        "AND pg_get_expr(polqual, polrelid) = pg_get_expr(polwithcheck, polrelid) "
        "AND pg_get_expr(polqual, polrelid) = '(owner_id = current_setting(''app.owner_id''::text, true))'",
    )
    assert set(guarded) == tenants
    assert len(guarded) == len(tenants), "one policy each: policies of a table are joined by OR"


async def test_no_row_can_point_into_another_owners_data(superuser: AsyncEngine) -> None:
    loose = await _names(
        superuser,
        """
        SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid)
        FROM pg_constraint
        WHERE contype = 'f'
          AND confrelid NOT IN ('owners'::regclass, 'embedding_models'::regclass)
          AND pg_get_constraintdef(oid) !~ 'FOREIGN KEY \\(owner_id, \\w+\\) REFERENCES \\w+\\(owner_id, id\\)'
        """,
    )
    assert loose == []


async def test_every_moment_has_a_time_zone(superuser: AsyncEngine) -> None:
    naive = await _names(
        superuser,
        "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'public' "
        "AND data_type IN ('timestamp without time zone', 'time without time zone', 'date')",
    )
    assert naive == []


async def test_what_hangs_on_an_interaction_is_found_by_an_index(superuser: AsyncEngine) -> None:
    """Deleting an interaction or a session looks up what hangs on it."""
    bare = await _names(
        superuser,
        """
        SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid)
        FROM pg_constraint AS reference
        WHERE contype = 'f'
          AND confrelid IN ('interactions'::regclass, 'sessions'::regclass)
          AND NOT EXISTS (
              SELECT FROM pg_index
              WHERE indrelid = reference.conrelid
                AND (indkey[0] = ANY (reference.conkey) AND (indnkeyatts = 1 OR indkey[1] = ANY (reference.conkey))
                     OR indkey[0] = reference.conkey[2]))
        """,
    )
    assert bare == []


def _dump(url: str) -> list[str]:
    """`pg_dump -s` without what differs from run to run."""
    plain = normal_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    command: Sequence[str | Path] = [find_binaries().program("pg_dump"), "--schema-only", "--dbname", plain]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    return [line for line in done.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]


async def _run_script(url: str, script: str) -> None:
    connection = await asyncpg.connect(**{**asyncpg_arguments(url), "server_settings": {}})
    try:
        await connection.execute(script)
    finally:
        await connection.close()


async def _execute(url: str, statement: str) -> None:
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


async def _revision(url: str) -> str:
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        revision = str(await connection.scalar(text("SELECT version_num FROM alembic_version")))
    await engine.dispose()
    return revision
