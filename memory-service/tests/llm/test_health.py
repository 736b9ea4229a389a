"""The model as /health shows it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest
from memory_service.app import create_app
from memory_service.llm.stand_in import StandIn
from memory_service.settings import Settings

Serve = Callable[[Settings], AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def serve(migrated_url: str) -> Serve:
    """Runs the service with other settings."""

    @asynccontextmanager
    async def running(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
        app = create_app(settings, migrated_url)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8820") as http,
        ):
            yield http

    return running


async def _model(client: httpx.AsyncClient) -> tuple[str, str]:
    """Its status and detail, as soon as the server has been asked."""
    async with asyncio.timeout(60):
        while True:
            part = (await client.get("/health")).json()["checks"]["model"]
            if part["status"] != "loading":
                return part["status"], part["detail"]
            await asyncio.sleep(0.02)


async def test_none_configured_is_healthy(client: httpx.AsyncClient) -> None:
    status, detail = await _model(client)
    assert status == "ok"
    assert detail.startswith("none configured: set LLM_MODEL")


async def test_a_model_that_is_there(serve: Serve, settings: Settings, server: StandIn) -> None:
    configured = settings.model_copy(update={"llm_model": "casiopy:live", "ollama_host": server.url})
    async with serve(configured) as client:
        assert await _model(client) == ("ok", f"casiopy:live of Ollama at {server.url} (OLLAMA_HOST)")


async def test_a_model_that_is_away_degrades_the_service_and_stops_nothing(
    serve: Serve, settings: Settings, server: StandIn
) -> None:
    server.stop()
    configured = settings.model_copy(update={"llm_model": "local", "llm_base_url": server.openai_url})
    async with serve(configured) as client:
        status, detail = await _model(client)
        assert status == "failed"
        assert "LLM_BASE_URL" in detail
        answer = await client.get("/health")
        assert answer.status_code == 200
        assert answer.json()["status"] == "degraded"
