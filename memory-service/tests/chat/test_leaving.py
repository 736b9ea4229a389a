"""Clients that go away while an answer is made, over a real socket."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from memory_service.app import create_app
from memory_service.llm.model import Message, Reply
from memory_service.settings import Settings


class SlowModel:
    """A model that says a word, and then waits until it is told to go on; it knows when it was told to stop."""

    name = "slow"
    context_tokens = 4096
    where = "here"

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.asked = asyncio.Event()
        self.stopped = asyncio.Event()

    async def reply(self, messages: Any, **_: Any) -> Reply:
        self.asked.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.stopped.set()
            raise
        return Reply("Entera.", self.name)

    async def stream(self, messages: list[Message], **_: Any) -> AsyncIterator[str]:
        self.asked.set()
        try:
            yield "Media "
            await self.go_on.wait()
            yield "frase."
        except (asyncio.CancelledError, GeneratorExit):
            self.stopped.set()
            raise


@asynccontextmanager
async def served(settings: Settings, url: str, model: SlowModel) -> AsyncIterator[str]:
    app = create_app(settings, url)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=3)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve([listener]))
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    app.state.model = model
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        model.go_on.set()
        server.should_exit = True
        await running


def _client(url: str) -> httpx.AsyncClient:
    """No proxy of the environment lies between, and a busy machine is no failure."""
    return httpx.AsyncClient(base_url=url, trust_env=False, timeout=60)


async def _eventually(look: Callable[[], Any]) -> Any:
    async with asyncio.timeout(60):
        while not (found := await look()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return found


async def test_what_a_leaving_client_has_heard_is_stored_as_interrupted(settings: Settings, migrated_url: str) -> None:
    model = SlowModel()
    async with served(settings, migrated_url, model) as url, _client(url) as http:
        body = {"prompt": "Cuéntame algo", "session_id": "s1", "stream": True}
        async with http.stream("POST", "/chat", json=body) as answer:
            assert "Media" in await anext(answer.aiter_lines())
        await asyncio.wait_for(model.stopped.wait(), 60)

        async def stored() -> Any:
            return (await http.get("/interactions")).json()["items"]

        (exchange,) = await _eventually(stored)
        assert exchange["output_text"].strip() == "Media"
        assert exchange["metadata"]["interrupted"] is True
        assert [drop["rule"] for drop in exchange["quality"]["drops"]] == ["interrupted"]
        assert (await http.get("/memory", params={"user_id": "session:s1"})).json() == []


async def test_a_client_that_leaves_before_the_first_word_stops_the_model(
    settings: Settings, migrated_url: str
) -> None:
    model = SlowModel()
    async with served(settings, migrated_url, model) as url, _client(url) as http:
        asking = asyncio.create_task(http.post("/chat", json={"prompt": "Cuéntame algo", "session_id": "s1"}))
        await asyncio.wait_for(model.asked.wait(), 60)
        asking.cancel()
        await asyncio.wait_for(model.stopped.wait(), 60)
        assert (await http.get("/sessions")).json()["total"] == 0
        assert (await http.get("/interactions")).json()["total"] == 0
