"""A stand-in server, and a model of each wire format on it."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from memory_service.llm.answers import Limits
from memory_service.llm.choosing import ConfiguredModel
from memory_service.llm.ollama_model import OllamaModel
from memory_service.llm.openai_model import azure_model, compatible_model
from memory_service.llm.stand_in import StandIn

WIRES = ("ollama", "openai", "azure")

# Long enough for a busy machine to answer in, short enough to wait for in a test.
SECONDS = 20.0
Make = Callable[..., ConfiguredModel]


@pytest.fixture
def server() -> Iterator[StandIn]:
    """A server that answers in every format."""
    with StandIn() as running:
        yield running


def make_model(wire: str, server: StandIn, seconds: float = SECONDS) -> ConfiguredModel:
    """A model of `server`, spoken to in the format `wire`."""
    limits = Limits(seconds, 4096)
    if wire == "ollama":
        return OllamaModel(server.url, "casiopy:live", limits)
    if wire == "openai":
        return compatible_model(server.openai_url, "casiopy:live", limits, api_key="sk-test")
    version = "2025-04-01-preview"
    return azure_model(server.url, "gpt-4o-mini", limits, api_key="azure-key", api_version=version, model=None)


@pytest.fixture(params=WIRES)
async def model(request: pytest.FixtureRequest, server: StandIn) -> AsyncIterator[ConfiguredModel]:
    """One model per wire format."""
    made = make_model(request.param, server)
    yield made
    await made.close()
