"""The client registry beside the service, as if it were installed."""

import sys
from collections.abc import AsyncIterator
from importlib.metadata import EntryPoint
from pathlib import Path

import httpx
import pytest
from memory_service.agents.agent import Agent
from memory_service.agents.installed import GROUP, installed_agents
from memory_service.agents.tables import prepare_tables
from memory_service.app import create_app
from memory_service.settings import Settings

EXAMPLE = Path(__file__).parents[3] / "examples" / "client_registry"


@pytest.fixture(scope="module")
def registry() -> tuple[Agent, ...]:
    """The example's agents, through the entry points that its package declares."""
    sys.path.insert(0, str(EXAMPLE / "src"))
    points = [EntryPoint(name, f"casiopy_client_registry:{name.title()}", GROUP) for name in ("crear", "consultar")]
    return installed_agents(points)


@pytest.fixture
async def clients(
    settings: Settings, migrated_url: str, registry: tuple[Agent, ...]
) -> AsyncIterator[httpx.AsyncClient]:
    """The service with the registry and without a language model."""
    await prepare_tables(migrated_url, [table for agent in registry for table in agent.tables])
    app = create_app(settings, migrated_url, agents=registry)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8820") as http,
    ):
        yield http
