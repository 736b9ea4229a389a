"""A service whose vectors are made anew, and the command that does it in a process of its own."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from memory_service.app import create_app
from memory_service.embeddings.embedder import Kind, Vectors
from memory_service.encryption.store import open_database
from memory_service.settings import Settings
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

_PENDING = """
    (SELECT embedding_status FROM interactions UNION ALL SELECT embedding_status FROM memories) AS one
    WHERE embedding_status = 'pending'
"""


class Hashing:
    """A small model: words that two texts share bring them near. Texts with "unreadable" it refuses."""

    revision = "r1"

    def __init__(self, name: str, dimension: int) -> None:
        self.name, self.dimension = name, dimension
        self.embedded = 0

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        made = np.full((len(texts), self.dimension), 0.01, np.float32)
        for place, one in enumerate(texts):
            if "unreadable" in one and self.name == "b":
                raise ValueError("cannot be read")
            for word in one.lower().split():
                made[place, hashlib.sha256(f"{self.name}{word}".encode()).digest()[0] % self.dimension] += 1
        self.embedded += len(texts)
        return made / np.linalg.norm(made, axis=1, keepdims=True)


class Store:
    """A service of one owner under model "a", and what its tables hold."""

    def __init__(self, url: str, settings: Settings, superuser: AsyncEngine) -> None:
        self.url, self.settings, self.superuser = url, settings, superuser
        self.database = open_database(settings, url)
        self.session = ""

    async def __aenter__(self) -> "Store":
        self.app = create_app(self.settings, self.url, load_embedder=lambda: Hashing("a", 32))
        self._life = self.app.router.lifespan_context(self.app)
        await self._life.__aenter__()
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://127.0.0.1:8820")
        await self.app.state.embedder.decided()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()
        await self._life.__aexit__(None, None, None)
        await self.database.close()

    async def tell(self, *texts: str) -> None:
        """All in one request, in their order."""
        session = await self._session()
        told = [{"session_id": session, "input_text": said, "output_text": ""} for said in texts]
        (await self.http.post("/interactions/bulk", json={"interactions": told})).raise_for_status()

    async def ask(self, question: str, reply: str) -> str:
        """The id of an exchange."""
        body = {"session_id": await self._session(), "input_text": question, "output_text": reply}
        stored = (await self.http.post("/interactions", json=body)).raise_for_status().json()
        return str(stored["id"])

    async def _session(self) -> str:
        if not self.session:
            opened = await self.http.post("/sessions", json={"user_id": "v"})
            self.session = opened.raise_for_status().json()["id"]
        return self.session

    async def remember(self, content: str) -> str:
        """The id of a typed memory."""
        body = {"user_id": "v", "type": "fact", "content": content}
        stored = (await self.http.post("/api/v1/memory", json=body)).raise_for_status().json()
        return str(stored["id"])

    async def embedded(self) -> None:
        async with asyncio.timeout(120):
            while await self.count(_PENDING):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def count(self, of: str) -> int:
        async with self.superuser.connect() as connection:
            return int(await connection.scalar(text(f"SELECT count(*) FROM {of}")) or 0)

    async def vectors(self, model: str) -> int:
        return await self.count(f"embeddings JOIN embedding_models AS m ON m.id = model_id WHERE m.name = '{model}'")

    async def recalled(self) -> list[dict[str, Any]]:
        answer = await self.http.post("/recall", json={"user_id": "v", "query": "gardens", "explain": True})
        found: list[dict[str, Any]] = answer.raise_for_status().json()["hits"]
        return found


def command(
    url: str, data: Path, *options: str, model: str = "packaged:all-minilm-l6-v2", **more: str
) -> subprocess.Popen[str]:
    environment = os.environ | {
        "DATABASE_URL": url, "CASIOPY_DATA": str(data), "EMBEDDING_MODEL": model, "OMP_NUM_THREADS": "1"
    } | more  # fmt: skip
    arguments = [sys.executable, "-m", "memory_service", "reembed", *options]
    return subprocess.Popen(
        arguments,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=data,
        # Tests that run in the background inherit an ignored Ctrl-C; an operator's command does not.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


async def finished(process: subprocess.Popen[str]) -> str:
    """All that the command said."""
    return (await asyncio.to_thread(process.communicate, timeout=200))[0]
