"""Tables that agents bring along: in a PostgreSQL schema of their own, each behind the same wall between owners."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from memory_service.db import SERVICE_ROLE, normal_url

# Apart from the service's own tables: names cannot collide, and the service's migrations never see them.
SCHEMA = "casiopy_agents"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
# Any number, the same in every process: those that start together take turns.
_TURN = 8_820_006


@dataclass(frozen=True, slots=True)
class OwnTable:
    """A table of an agent's.

    `owner_id` need not be named: it is added, filled with the owner of the transaction, and guarded by row-level security,
    so that no statement of the agent can read or write another owner's rows.

    Attributes:
        name: without a schema; begin it with the plug-in's own name.
        columns: the rest of the columns and constraints, as CREATE TABLE takes them.
        changes: statements for tables made by earlier versions; each start runs them, so they say IF NOT EXISTS.
    """

    name: str
    columns: str
    changes: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """The name for statements."""
        return f"{SCHEMA}.{self.name}"


async def prepare_tables(url: str, tables: Iterable[OwnTable]) -> None:
    """Make the tables that are not there yet, in the role that also migrates; safe from several processes at once.

    Raises:
        ValueError: a table's name is none.
    """
    wanted = list(tables)
    if not wanted:
        return
    engine = create_async_engine(normal_url(url), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_TURN})"))
            await connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            await connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {SERVICE_ROLE}")
            for table in wanted:
                await _prepare(connection, table)
    finally:
        await engine.dispose()


async def _prepare(connection: AsyncConnection, table: OwnTable) -> None:
    if _NAME.fullmatch(table.name) is None:
        raise ValueError(f"{table.name!r} is no table name: lower-case letters, digits and _, at most 63")
    if await connection.scalar(text("SELECT to_regclass(:name) IS NULL"), {"name": table.full_name}):
        for statement in _creation(table):
            await connection.exec_driver_sql(statement)
    for change in table.changes:
        await connection.exec_driver_sql(change)


def _creation(table: OwnTable) -> tuple[str, ...]:
    mine = "owner_id = current_setting('app.owner_id', true)"
    owner = "TEXT NOT NULL DEFAULT current_setting('app.owner_id') REFERENCES owners (id) ON DELETE CASCADE"
    return (
        f"CREATE TABLE {table.full_name} (owner_id {owner}, {table.columns})",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table.full_name} TO {SERVICE_ROLE}",
        f"ALTER TABLE {table.full_name} ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY owner_only ON {table.full_name} USING ({mine}) WITH CHECK ({mine})",
    )
