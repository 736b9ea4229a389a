"""A real PostgreSQL for the tests: an embedded one for the whole run, or the one TEST_DATABASE_URL names."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from memory_service.api import include_routers
from memory_service.app import create_app
from memory_service.db import Database, normal_url
from memory_service.embedded import EmbeddedPostgres
from memory_service.schema import migrate
from memory_service.settings import Settings
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from starlette.routing import BaseRoute

T = TypeVar("T")
Post = Callable[..., Awaitable[dict[str, Any]]]

# Tests make and drop whole databases; nothing in them must survive a crash of the machine.
UNSAFE_BUT_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB"}


@pytest.fixture(scope="session", autouse=True)
def no_settings_of_the_operator() -> Iterator[None]:
    """Whatever model, key or origin this machine has set up, the tests bring their own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("LLM_", "OPENAI_", "AZURE_OPENAI_", "API_KEY", "ENCRYPTION_", "CORS_")):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session", autouse=True)
def a_busy_machine_is_no_failure() -> Iterator[None]:
    """What gives up after some seconds, so that callers are not kept waiting, waits here as long as it takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("memory_service.db._WAIT_SECONDS", 120.0)
        patch.setattr("memory_service.health._ANSWER_WITHIN_SECONDS", 120.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def routers_included_once() -> Iterator[None]:
    """All apps of these tests share one inclusion of the routers.

    FastAPI works out what a route depends on at its first request, anew for every app: a third of what a test costs.
    """
    included: list[BaseRoute] = []

    def include(app: FastAPI) -> None:
        if not included:
            before = len(app.router.routes)
            include_routers(app)
            included.extend(app.router.routes[before:])
        else:
            app.router.routes.extend(included)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("memory_service.app.include_routers", include)
        yield


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that every system user can reach, unlike pytest's own: a server started by root runs as another user."""
    memory = Path("/dev/shm")  # where it is large enough, the disk of a busy machine is not waited for
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 * 1024**3
    folder = Path(tempfile.mkdtemp(prefix="casiopy-test-", dir=memory if roomy else None))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def database_url(open_folder: Path) -> Iterator[str]:
    """SQLAlchemy URL of a superuser on a server with pgvector, started once for all tests."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield normal_url(given).render_as_string(hide_password=False)
        return
    with EmbeddedPostgres(open_folder / "database", settings=UNSAFE_BUT_FAST) as server:
        yield server.url


@pytest.fixture(scope="session")
def migrated_template(database_url: str) -> Iterator[str]:
    """Name of a database with every migration applied; copies of it take milliseconds."""
    with _database(database_url, "template0") as url:
        run_apart(migrate(url))
        name = normal_url(url).database
        assert name is not None
        yield name


@pytest.fixture(scope="module")
def migrated_url(database_url: str, migrated_template: str) -> Iterator[str]:
    """URL of a migrated, empty database of this test module's own (superuser)."""
    with _database(database_url, migrated_template) as url:
        yield url


@pytest.fixture
def empty_database_url(database_url: str) -> Iterator[str]:
    """URL of a database without any table, for one test (superuser)."""
    with _database(database_url, "template0") as url:
        yield url


@pytest.fixture
def copied_database(database_url: str) -> Iterator[Callable[[str], str]]:
    """Copies the database at a URL (nobody may be connected to it); returns the URL of the copy, gone after the test."""
    with ExitStack() as copies:
        yield lambda url: copies.enter_context(_database(database_url, str(normal_url(url).database)))


@pytest.fixture
def owner() -> str:
    """A tenant of this test's own: nothing another test stored is in its way."""
    return f"owner-{uuid4().hex[:12]}"


@pytest.fixture
def settings(owner: str, tmp_path: Path) -> Settings:
    """Settings of a service for `owner`, whatever `.env` says: no worker, and no embedder, which storing must not need."""
    return Settings(
        _env_file=None,
        default_owner=owner,
        casiopy_data=tmp_path,
        worker_in_process=False,
        embedding_model="packaged:none",
    )


@pytest.fixture
async def client(settings: Settings, migrated_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The service over HTTP, keyless on loopback."""
    app = create_app(settings, migrated_url)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8820") as http,
    ):
        yield http


@pytest.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    """The migrated database in the service's role, as the service itself opens it."""
    opened = Database(migrated_url)
    yield opened
    await opened.close()


@pytest.fixture
async def superuser(migrated_url: str) -> AsyncIterator[AsyncEngine]:
    """The migrated database in the role that made it, for whom row-level security does not count."""
    engine = create_async_engine(migrated_url)
    yield engine
    await engine.dispose()


@pytest.fixture
def open_session(client: httpx.AsyncClient) -> Post:
    """Opens a session over HTTP; returns it."""

    async def post(user_id: str = "viewer_1", **fields: Any) -> dict[str, Any]:
        return _stored(await client.post("/sessions", json={"user_id": user_id, **fields}))

    return post


@pytest.fixture
def tell(client: httpx.AsyncClient) -> Post:
    """Records an exchange (a good one, unless told otherwise) over HTTP; returns it."""

    async def post(session: dict[str, Any], **fields: Any) -> dict[str, Any]:
        exchange = {
            "session_id": session["id"],
            "input_text": "¿Qué haces esta noche?",
            "output_text": "*suspiro* Debugueo el universo, mortal. Alguien tiene que hacerlo.",
        }
        return _stored(await client.post("/interactions", json={**exchange, **fields}))

    return post


@dataclass
class Gate:
    """Transactions that wait where a test wants them to wait."""

    keeper: AsyncConnection

    async def waiting(self, sessions: int = 1) -> None:
        """Return once somebody waits at the gate, and so many sessions of the database wait, there or for each other."""
        async with asyncio.timeout(200):
            while not await self.keeper.scalar(_WAITING, {"sessions": sessions}):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def open(self) -> None:
        """Let through whoever waits, and whoever comes."""
        await self.keeper.execute(text("SELECT pg_advisory_unlock_all()"))


Gates = Callable[[AsyncEngine, str], AbstractAsyncContextManager[Gate]]
# Who holds this lock stops whatever passes the gate.
_LOCK = 4711
_PASS = f"""
    CREATE OR REPLACE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_advisory_xact_lock_shared({_LOCK}); RETURN coalesce(NEW, OLD); END $$
"""
_WAITING = text(
    "SELECT count(*) >= :sessions AND count(*) FILTER (WHERE wait_event = 'advisory') > 0 FROM pg_stat_activity "
    "WHERE wait_event_type = 'Lock' AND datname = current_database()"
)


@pytest.fixture
def gate() -> Gates:
    """Whatever fires a trigger waits until the gate is opened, or the block ends: `async with gate(superuser, "BEFORE …")`.

    Between two that want each other's rows it settles who waits first. PostgreSQL looks for a deadlock once, a second after a
    wait began: of two transactions it gives the one up whose wait closed the circle, if the other waits without looking.
    """

    @asynccontextmanager
    async def held(engine: AsyncEngine, trigger: str) -> AsyncIterator[Gate]:
        async with engine.begin() as connection:
            await connection.execute(text(_PASS))
            await connection.execute(text(f"CREATE TRIGGER gate {trigger} EXECUTE FUNCTION gate()"))
        async with engine.connect() as keeper:
            await keeper.execution_options(isolation_level="AUTOCOMMIT")
            await keeper.execute(text(f"SELECT pg_advisory_lock({_LOCK})"))
            made = Gate(keeper)
            yield made
            await made.open()
        async with engine.begin() as connection:
            await connection.execute(text(f"DROP TRIGGER gate ON {trigger.split(' ON ')[1].split(maxsplit=1)[0]}"))

    return held


def _stored(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


def run_apart(coroutine: Coroutine[None, None, T]) -> T:
    """Run `coroutine` on an event loop of its own, whatever loop the tests are using."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


@contextmanager
def _database(server_url: str, template: str) -> Iterator[str]:
    name = f"test_{uuid4().hex[:12]}"
    run_apart(_execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield normal_url(server_url).set(database=name).render_as_string(hide_password=False)
    run_apart(_execute(server_url, f"DROP DATABASE {name} WITH (FORCE)"))


async def _execute(url: str, statement: str) -> None:
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()
