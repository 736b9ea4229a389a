"""Runs the migrations, online over the connection `memory_service.schema` opens, or offline as one SQL script."""

from alembic import context
from sqlalchemy import Connection, text

from memory_service.migrations.filters import include_name
from memory_service.models import Base

# Any number, the same for every process: two starting at once migrate one after the other.
_MIGRATION_LOCK = 882_020_251


def run_offline() -> None:
    """Write SQL to the configured output instead of executing it."""
    context.configure(
        dialect_name="postgresql",
        target_metadata=Base.metadata,
        literal_binds=True,
        output_buffer=context.config.output_buffer,
        dialect_opts={"paramstyle": "named"},
    )
    with context.begin_transaction():
        context.run_migrations()


def run_online(connection: Connection) -> None:
    """Migrate within one transaction, one process at a time."""
    context.configure(connection=connection, target_metadata=Base.metadata, include_name=include_name)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online(context.config.attributes["connection"])
