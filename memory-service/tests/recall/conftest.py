"""The service with a real embedding model, loaded once."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from memory_service.app import create_app
from memory_service.db import Database
from memory_service.embeddings.background import Load
from memory_service.embeddings.embedder import Embedder
from memory_service.embeddings.loading import load
from memory_service.recall import service as recall_service
from memory_service.settings import Settings
from sqlalchemy import text

_PENDING = text("""
    SELECT (SELECT count(*) FROM interactions WHERE embedding_status = 'pending')
         + (SELECT count(*) FROM memories WHERE embedding_status = 'pending')
""")

Service = Callable[..., AbstractAsyncContextManager["Caller"]]


@lru_cache(maxsize=1)
def minilm() -> Embedder:
    """The packaged model, one for all services of this test run; in 32 bits, so that scores are every processor's."""
    return load("packaged:all-minilm-l6-v2", 1, "f32")


@dataclass
class Caller:
    """Talks to one service as a conversation service does."""

    http: httpx.AsyncClient
    database: Database
    owner: str
    sessions: dict[tuple[str, str], str] = field(default_factory=dict)

    async def tell(
        self, user: str, said: str, answered: str = "", *, session: str = "s", **fields: Any
    ) -> dict[str, Any]:
        """Store one exchange; the viewer's session of that name is opened when needed."""
        persona = fields.pop("persona", None)
        if (user, session) not in self.sessions:
            opened = await self.http.post("/sessions", json={"user_id": user, "persona": persona})
            self.sessions[user, session] = opened.raise_for_status().json()["id"]
        body = {"session_id": self.sessions[user, session], "input_text": said, "output_text": answered} | fields
        stored: dict[str, Any] = (await self.http.post("/interactions", json=body)).raise_for_status().json()
        return stored

    async def tell_all(self, user: str, texts: Sequence[str]) -> None:
        """Store several and wait for their vectors."""
        for said in texts:
            await self.tell(user, said)
        await self.embedded()

    async def remember(self, user: str, content: str, kind: str = "fact", **fields: Any) -> dict[str, Any]:
        """Store one typed memory."""
        body = {"user_id": user, "content": content, "type": kind} | fields
        stored: dict[str, Any] = (await self.http.post("/api/v1/memory", json=body)).raise_for_status().json()
        return stored

    async def embedded(self) -> None:
        """Wait until nothing is pending."""
        deadline = time.monotonic() + 120
        while await self._pending():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)

    async def _pending(self) -> int:
        async with self.database.transaction(self.owner) as connection:
            return int(await connection.scalar(_PENDING) or 0)

    async def recall(self, user: str, query: str, **fields: Any) -> dict[str, Any]:
        """Full hits."""
        answer = await self.http.post("/recall", json={"user_id": user, "query": query} | fields)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    async def context(self, user: str, query: str, **fields: Any) -> dict[str, Any]:
        """What a prompt gets."""
        answer = await self.http.post("/api/v1/memory/context", json={"user_id": user, "query": query} | fields)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found


@pytest.fixture
def one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """All questions of a test are asked at the same moment.

    Between two of them what was said grows older: the last of a score's six digits changes every two hundred seconds.
    """

    class Standing(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Standing":
            return moment

    moment = Standing.fromtimestamp(time.time(), UTC)
    monkeypatch.setattr(recall_service, "datetime", Standing)


@pytest.fixture
def service(migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Starts a service of an owner: `async with service("ana") as caller`. It waits for its model as long as that takes."""
    monkeypatch.setattr(recall_service, "_EMBED_WITHIN_SECONDS", 120.0)

    @asynccontextmanager
    async def start(
        owner: str, *, load_embedder: Load = minilm, worker: bool = True, ready: bool = True, **given: Any
    ) -> AsyncIterator[Caller]:
        settings = Settings(
            _env_file=None,
            default_owner=owner,
            casiopy_data=tmp_path,
            worker_in_process=worker,
            default_persona="casiopy",
            **given,
        )
        app = create_app(settings, migrated_url, load_embedder=load_embedder)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8820", timeout=120) as http,
        ):
            if ready:
                await app.state.embedder.decided()
            yield Caller(http, app.state.database, owner)

    return start
