"""Keys on the real database, and the service as their holders reach it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest
from memory_service.app import create_app
from memory_service.keys import service
from memory_service.keys.repository import operators_transaction
from memory_service.keys.schemas import Key
from memory_service.settings import Settings
from starlette.types import ASGIApp

MakeKey = Callable[..., Awaitable[tuple[str, Key]]]
OpenService = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]

FIXED = "fixed-key-of-the-operator"


@pytest.fixture
def make_key(migrated_url: str, owner: str) -> MakeKey:
    """Generates a key of the test's owner (or another); returns it and its record."""

    async def make(name: str = owner, rate_limit: int = 60, *, revoked: bool = False) -> tuple[str, Key]:
        async with operators_transaction(migrated_url) as connection:
            key, record = await service.generate(connection, name, rate_limit=rate_limit)
            if revoked:
                record = await service.revoke(connection, str(record.id))
        return key, record

    return make


@pytest.fixture
def open_service(settings: Settings, migrated_url: str) -> OpenService:
    """Opens the service over HTTP with further settings; `around` wraps the application, `url` names another database."""

    @asynccontextmanager
    async def opened(
        url: str = migrated_url, around: Callable[[ASGIApp], ASGIApp] | None = None, **changes: object
    ) -> AsyncIterator[httpx.AsyncClient]:
        app = create_app(Settings(_env_file=None, **(settings.model_dump() | changes)), url)
        transport = httpx.ASGITransport(app if around is None else around(app), raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8820") as http,
        ):
            yield http

    return opened


@pytest.fixture
async def keyed(open_service: OpenService) -> AsyncIterator[httpx.AsyncClient]:
    """The service as other machines reach it, with API_KEY set to `FIXED`."""
    async with open_service(api_host="0.0.0.0", api_key=FIXED) as http:
        yield http
