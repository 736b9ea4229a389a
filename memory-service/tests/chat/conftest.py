"""The service with a language model: a stand-in server that speaks Ollama's format."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from memory_service.app import create_app
from memory_service.llm.stand_in import StandIn
from memory_service.llm.stand_in.speech import speak
from memory_service.settings import Settings


@pytest.fixture(scope="module")
def stand_in() -> Iterator[StandIn]:
    """The model's server, one for the module."""
    with StandIn() as running:
        yield running


@pytest.fixture
def model(stand_in: StandIn) -> StandIn:
    """The same with nothing ordered and nothing asked yet."""
    stand_in.requests.clear()
    stand_in._queue.clear()
    stand_in.always = speak
    return stand_in


@pytest.fixture
def chat_settings(settings: Settings, model: StandIn) -> Settings:
    """Settings of a service that talks to the stand-in."""
    return settings.model_copy(
        update={"llm_model": "casiopy:live", "ollama_host": model.url, "llm_timeout_seconds": 20.0}
    )


@pytest.fixture
async def talk(chat_settings: Settings, migrated_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The service with a model, over HTTP."""
    app = create_app(chat_settings, migrated_url)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8820") as http,
    ):
        yield http
