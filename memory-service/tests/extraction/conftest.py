"""The service with a model behind it: a stand-in server that speaks the wire format under test."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
from memory_service.app import create_app
from memory_service.llm.stand_in import StandIn
from memory_service.settings import Settings

Serve = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def server() -> Iterator[StandIn]:
    """A model's server that answers in every format."""
    with StandIn() as running:
        yield running


@pytest.fixture(params=["ollama", "openai"])
def wired(request: pytest.FixtureRequest, settings: Settings, server: StandIn) -> Settings:
    """Settings of a service whose model is the stand-in, in each of the two formats."""
    if request.param == "ollama":
        return settings.model_copy(update={"llm_model": "casiopy:live", "ollama_host": server.url})
    return settings.model_copy(update={"llm_model": "casiopy:live", "llm_base_url": server.openai_url})


@pytest.fixture
def serve(migrated_url: str) -> Serve:
    """Runs the service with settings of the test's own."""

    @asynccontextmanager
    async def running(settings: Settings, **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
        app = create_app(settings.model_copy(update=changes), migrated_url)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8820") as http,
        ):
            yield http

    return running


@pytest.fixture
async def taught(serve: Serve, wired: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The service with a model, over HTTP."""
    async with serve(wired) as client:
        yield client


def operations(*given: tuple[str, str, str, str, int]) -> str:
    """A model's answer: (operation, field, value, evidence, number of the memory)."""
    names = ("operation", "field", "value", "evidence", "memory")
    return json.dumps({"operations": [dict(zip(names, one, strict=True)) for one in given]}, ensure_ascii=False)


async def learned(client: httpx.AsyncClient, message: str, **body: Any) -> dict[str, Any]:
    """The answer of POST /messages."""
    answer = await client.post("/messages", json={"user_id": "user123", "message": message, **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def memories(client: httpx.AsyncClient, user_id: str = "user123") -> dict[str, Any]:
    """The current memories, key to value."""
    answer = await client.get("/memory", params={"user_id": user_id})
    assert answer.status_code == 200, answer.text
    return {memory["key"]: memory["value"] for memory in answer.json()}
