"""From settings to a running service: which database, its schema, an empty core memory filled, then the server."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import asyncpg
import uvicorn
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from memory_service.agents.agent import Agent
from memory_service.agents.installed import AgentError, installed_agents
from memory_service.agents.tables import prepare_tables
from memory_service.db import normal_url
from memory_service.embedded import EmbeddedPostgres
from memory_service.embedded.guardian import Guardian
from memory_service.encryption.store import WrongKey, open_database, unlock
from memory_service.keys.repository import any_usable, operators_transaction
from memory_service.migrations.script import statements
from memory_service.schema import migrate
from memory_service.settings import Settings

log = logging.getLogger(__name__)

POPULATE_SCRIPT = "02_populate_core_memory.sql"
_CORE_MEMORY_ROWS = text("SELECT count(*) FROM core_memory WHERE owner_id = :owner")


class StartError(Exception):
    """The service cannot start; the message says why and what to do."""


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """URL of the database to use, for as long as the block runs; says which one it is and why."""
    if settings.database_url is not None:
        try:
            url = normal_url(settings.database_url.get_secret_value())
        except ValueError as error:
            raise StartError(str(error)) from None
        log.info("Database: %s (DATABASE_URL is set)", url.render_as_string(hide_password=True))
        yield url.render_as_string(hide_password=False)
        return
    server = EmbeddedPostgres(settings.casiopy_data / "postgres")
    with server, Guardian(server):
        log.info("Database: embedded PostgreSQL in %s (DATABASE_URL is not set)", server.folder)
        yield server.url


@contextmanager
def _refusals_said_clearly() -> Iterator[None]:
    try:
        yield
    except (OSError, SQLAlchemyError, asyncpg.PostgresError) as error:
        cause = getattr(error, "orig", None) or error
        raise StartError(
            f"The database could not be prepared: {str(cause).splitlines()[0]}. Check DATABASE_URL, that the server runs, "
            "that its role may create tables and roles, and that pgvector is installed there."
        ) from error


async def bring_up_to_date(url: str) -> None:
    """Migrate the database at `url`.

    Raises:
        StartError: it cannot be reached, or refuses to be migrated.
    """
    with _refusals_said_clearly():
        await migrate(url)


async def prepare(settings: Settings, url: str) -> None:
    """Migrate the database at `url` and, where the default owner has no core memory yet, load it from the init script.

    Raises:
        StartError: the database cannot be reached, or refuses to be migrated.
    """
    await bring_up_to_date(url)
    with _refusals_said_clearly():
        await _populate(settings, url)


async def _populate(settings: Settings, url: str) -> None:
    script = settings.init_scripts_dir / POPULATE_SCRIPT
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            rows = await connection.scalar(_CORE_MEMORY_ROWS, {"owner": settings.default_owner})
            if rows:
                log.info("Core memory: %d entries", rows)
                return
            if not script.is_file():
                log.warning("Core memory is empty, and there is no %s to fill it from", script)
                return
            for statement in statements(script.read_text(encoding="utf-8")):
                await connection.exec_driver_sql(statement)
            rows = await connection.scalar(_CORE_MEMORY_ROWS, {"owner": settings.default_owner})
            log.info("Core memory: %s entries loaded from %s (it was empty)", rows, script)
    finally:
        await engine.dispose()


async def _require_a_key(settings: Settings, url: str) -> None:
    """Refuse to be reachable from other machines when nobody could call.

    Raises:
        StartError: it would be so; the message says how to make a key.
    """
    if settings.is_loopback or settings.api_key is not None:
        return
    async with operators_transaction(url) as connection:
        if await any_usable(connection):
            return
    raise StartError(
        f"API_HOST={settings.api_host} is reachable from other machines, and there is no key to call with: make one with "
        "`casiopy keys generate OWNER`, or set API_KEY, or bind 127.0.0.1"
    )


async def _require_its_key(settings: Settings, url: str) -> None:
    """Refuse to start on texts that could not be read.

    Raises:
        StartError: ENCRYPTION_KEY does not fit the database.
    """
    database = open_database(settings, url, pool_size=1)
    try:
        await unlock(database)
    except WrongKey as error:
        raise StartError(str(error)) from None
    finally:
        await database.close()


async def _prepared_agents(url: str) -> Sequence[Agent]:
    """The agents installed beside the service, their tables made.

    Raises:
        StartError: one of them cannot be used; the message says which and why.
    """
    try:
        agents = installed_agents()
        with _refusals_said_clearly():
            await prepare_tables(url, {table.name: table for agent in agents for table in agent.tables}.values())
    except (AgentError, ValueError) as error:
        raise StartError(str(error)) from error
    return agents


async def serve(settings: Settings, url: str) -> None:
    """Run the HTTP service until it is told to stop."""
    from memory_service.app import create_app

    await prepare(settings, url)
    await _require_a_key(settings, url)
    await _require_its_key(settings, url)
    agents = await _prepared_agents(url)
    try:
        app = create_app(settings, url, agents=agents)
    except ValueError as error:
        raise StartError(str(error)) from error
    config = uvicorn.Config(
        app,
        host=settings.api_host,
        port=settings.api_port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=3,
    )
    log.info("Listening on http://%s:%d (docs at /docs)", settings.api_host, settings.api_port)
    await uvicorn.Server(config).serve()
