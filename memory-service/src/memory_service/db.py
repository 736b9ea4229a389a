"""The database as the service sees it: a pool of connections in the service's role, and transactions of one owner."""

import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from memory_service.encryption.cipher import Cipher

T = TypeVar("T")

log = logging.getLogger(__name__)

# Owns nothing and cannot bypass row-level security (migration 0002).
SERVICE_ROLE = "casiopy_app"

# A request waits this long for a free connection, or for the server to answer, before it is told 503.
_WAIT_SECONDS = 5.0
# How often a transaction is carried out at most. Who is given up has waited a second (deadlock_timeout): the other is done
# then, but the deletion of a large account may be followed by the next one.
_TRIES = 5
# A connection that lay idle for longer is asked whether it still works before it is used: a router may have forgotten it. In a
# burst of requests nobody asks: the three round trips were a quarter of those that storing one exchange takes.
_ASK_AFTER_IDLE_SECONDS = 1.0


def normal_url(url: str) -> URL:
    """`url` with the asyncpg driver; accepts `postgres://`, `postgresql://` and SQLAlchemy's own form.

    Raises:
        ValueError: not a PostgreSQL URL; the message says what one looks like.
    """
    parsed = make_url(url.replace("postgres://", "postgresql://", 1))
    if not parsed.drivername.startswith("postgresql"):
        raise ValueError(
            f"DATABASE_URL names {parsed.drivername!r}; Casiopy needs PostgreSQL: postgresql://user:password@host:5432/name"
        )
    return parsed.set(drivername="postgresql+asyncpg")


def asyncpg_arguments(url: str) -> dict[str, Any]:
    """Keyword arguments of `asyncpg.connect` for the same server, in the service's role."""
    parsed = normal_url(url)
    port = parsed.query.get("port")
    arguments: dict[str, Any] = {
        "host": parsed.host or parsed.query.get("host"),
        "port": int(port) if isinstance(port, str) else parsed.port,
        "user": parsed.username,
        "password": parsed.password,
        "database": parsed.database,
        "server_settings": {"role": SERVICE_ROLE, "timezone": "UTC"},
    }
    return {name: value for name, value in arguments.items() if value is not None}


class Database:
    """Connections in the service's role. Build one per process, inside the event loop that uses it."""

    def __init__(self, url: str, *, pool_size: int = 10, echo: bool = False, cipher: Cipher | None = None) -> None:
        self.url = url
        self.cipher = cipher
        self.engine: AsyncEngine = create_async_engine(
            normal_url(url),
            echo=echo,
            # Parameters are what users wrote: neither the log of statements nor the text of an error shows them.
            hide_parameters=True,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=_WAIT_SECONDS,
            connect_args={
                "timeout": _WAIT_SECONDS,
                "server_settings": {"role": SERVICE_ROLE, "timezone": "UTC", "application_name": "casiopy"},
            },
        )
        # Where the column types of encrypted texts look for it (encryption/types.py).
        self.engine.dialect.text_cipher = cipher  # type: ignore[attr-defined]
        event.listen(self.engine.sync_engine, "checkin", _laid_down)
        event.listen(self.engine.sync_engine, "checkout", _taken_up)

    @asynccontextmanager
    async def transaction(self, owner: str, *, snapshot: bool = False) -> AsyncIterator[AsyncConnection]:
        """One transaction that sees and writes only rows of `owner`; commits unless an exception leaves the block.

        With `snapshot` it only reads, and all of it sees the rows as they are now, whatever others write meanwhile.
        """
        async with self.unowned() as connection:
            if snapshot:
                await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            await connection.execute(text("SELECT set_config('app.owner_id', :owner, true)"), {"owner": owner})
            yield connection

    @asynccontextmanager
    async def unowned(self) -> AsyncIterator[AsyncConnection]:
        """One transaction without an owner: it sees shared tables only (tenants' rows are hidden from it).

        Raises:
            ConnectionError: no server answers (a missing socket file and a time-out are told the same way).
        """
        try:
            connection = await self.engine.connect()
        except OSError as error:
            raise ConnectionError(f"no connection to the database: {error}") from error
        async with aclosing(connection), connection.begin():
            yield connection

    async def close(self) -> None:
        """Close every pooled connection."""
        await self.engine.dispose()


def _laid_down(_: object, record: ConnectionPoolEntry) -> None:
    record.info["idle_since"] = time.monotonic()


def _taken_up(connection: Any, record: ConnectionPoolEntry, _: object) -> None:
    """Have a connection replaced that the server has closed, or that does not answer any more.

    A server that stops or dies closes its connections, which is known here without asking. What lies in the pool is as old.
    """
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError
    if time.monotonic() - record.info.get("idle_since", math.inf) > _ASK_AFTER_IDLE_SECONDS:
        try:
            connection.ping()
        except (connection.dbapi.Error, OSError) as error:
            raise InvalidatePoolError from error


def is_given_up(error: DBAPIError) -> bool:
    """Whether PostgreSQL gave a transaction up so that a concurrent one could go on (deadlock, serialisation failure)."""
    return getattr(error.orig, "sqlstate", None) in {"40001", "40P01"}


async def despite_others(transaction: Callable[[], Awaitable[T]]) -> T:
    """The result of a transaction; one that PostgreSQL gave up for a concurrent one has done nothing, and is repeated."""
    for _ in range(_TRIES - 1):
        try:
            return await transaction()
        except DBAPIError as error:
            if not is_given_up(error):
                raise
            log.info("PostgreSQL gave a transaction up for another one; it is carried out again (%s)", error.orig)
    return await transaction()


async def raw_connection(connection: AsyncConnection) -> asyncpg.Connection:
    """The asyncpg connection inside `connection`, in the same transaction (for the queue and for COPY)."""
    raw = await connection.get_raw_connection()
    driver = raw.driver_connection
    assert driver is not None  # noqa: S101  (an open SQLAlchemy connection always has one)
    return driver
