"""The schema's life: migrate any server, print it as one SQL script, say whether a database is current."""

import io
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from memory_service.migrations.filters import include_name
from memory_service.models import Base

_MIGRATIONS = Path(__file__).parent / "migrations"


def _config(connection: Connection | None = None, output: io.StringIO | None = None) -> Config:
    config = Config(output_buffer=output)
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def head_revision() -> str:
    """The revision this release of the service expects."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None  # noqa: S101  (the package ships at least one revision)
    return head


def _upgrade(connection: Connection) -> None:
    command.upgrade(_config(connection), "head")


def _differences(connection: Connection) -> list[str]:
    context = MigrationContext.configure(connection, opts={"include_name": include_name})
    return [str(difference) for difference in compare_metadata(context, Base.metadata)]


async def migrate(url: str) -> None:
    """Bring the database at `url` (SQLAlchemy form, a role that may create tables and roles) to the newest revision.

    Safe to call from several processes at once, and on a database that is current.
    """
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade)
            await connection.commit()
    finally:
        await engine.dispose()


async def differences_from_models(url: str) -> list[str]:
    """What `alembic check` would report: empty when the database is exactly what the models say."""
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_differences)
    finally:
        await engine.dispose()


def schema_sql() -> str:
    """The whole schema as one SQL script for an empty database (the content of `init-scripts/01_init_schema.sql`)."""
    output = io.StringIO()
    command.upgrade(_config(output=output), "head", sql=True)
    return output.getvalue()
