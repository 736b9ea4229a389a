"""Moving a store to another model: stopped and resumed, written to meanwhile, searched throughout."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from cryptography.fernet import Fernet
from memory_service.app import create_app
from memory_service.db import normal_url
from memory_service.embeddings.embedder import Kind, Vectors
from memory_service.embeddings.reembedding import Reembedding
from memory_service.encryption.store import open_database, unlock
from memory_service.settings import Settings
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


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
        if not self.session:
            opened = await self.http.post("/sessions", json={"user_id": "v"})
            self.session = opened.raise_for_status().json()["id"]
        for said in texts:
            body = {"session_id": self.session, "input_text": said, "output_text": ""}
            (await self.http.post("/interactions", json=body)).raise_for_status()

    async def embedded(self) -> None:
        async with asyncio.timeout(20):
            while await self.count("interactions WHERE embedding_status = 'pending'"):  # noqa: ASYNC110
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


@pytest.fixture
def own_url(database_url: str, migrated_template: str, copied_database: Callable[[str], str]) -> str:
    """A migrated database of one test's own: models belong to all of a database."""
    return copied_database(
        normal_url(database_url).set(database=migrated_template).render_as_string(hide_password=False)
    )


@pytest.fixture(params=["plain", "encrypted"])
async def store(request: pytest.FixtureRequest, settings: Settings, own_url: str) -> AsyncIterator[Store]:
    key = Fernet.generate_key().decode() if request.param == "encrypted" else None
    changed = settings.model_dump() | {"worker_in_process": True, "encryption_key": key}
    superuser = create_async_engine(own_url)
    async with Store(own_url, Settings(_env_file=None, **changed), superuser) as opened:
        # The service has unlocked the store; this is another process's view of it.
        await unlock(opened.database)
        yield opened
    await superuser.dispose()


async def test_a_store_moves_while_it_is_written_to_and_searched(store: Store) -> None:
    await store.tell(*(f"gardens number {n}" for n in range(150)), "an unreadable text")
    await store.embedded()
    first = Reembedding(store.database, Hashing("b", 48))
    model = await first.prepare()
    # Stopped after one batch, and taken up by another run, which passes over what is there.
    async for _ in first.embed(model):
        break
    done = await store.vectors("b")
    assert 0 < done < 150
    await store.tell("gardens in between")
    await store.embedded()
    assert await store.recalled()
    embedder = Hashing("b", 48)
    second = Reembedding(store.database, embedder)
    steps = [step async for step in second.embed(model)]
    assert sum(step.embedded for step in steps) == embedder.embedded == 151 - done
    assert sum(step.failed for step in steps) == sum(map(len, second.failed.values())) == 1
    # Written after the last pass: the worker's, after the switch.
    await store.tell("gardens at last")
    await store.embedded()
    assert store.app.state.embedder.ready
    assert await second.switch(model) == 1
    assert await store.count("interactions WHERE embedding_status = 'pending'") == 1
    assert await store.count("interactions WHERE embedding_status = 'failed'") == 1
    assert await store.count("embedding_models WHERE active AND name = 'b'") == 1
    # A worker under the old model stores nothing any more, and says what to do.
    before = await store.vectors("a")
    await store.tell("gardens too late")
    async with asyncio.timeout(20):
        while store.app.state.embedder.ready:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert await store.vectors("a") == before
    assert "restart with EMBEDDING_MODEL=b" in str(store.app.state.embedder.health().detail)
    assert await store.recalled()  # by words
    deleted = sum([step.deleted async for step in second.clean_up(model)])
    assert (deleted, await store.vectors("a")) == (before, 0)
    assert await store.count("pg_indexes WHERE indexname LIKE 'ix_embeddings_model_%'") == 1
    assert await store.vectors("b") == 151


def command(
    url: str, data: Path, *options: str, model: str = "packaged:all-minilm-l6-v2", **more: str
) -> subprocess.Popen[str]:
    environment = os.environ | {
        "DATABASE_URL": url, "CASIOPY_DATA": str(data), "EMBEDDING_MODEL": model, "OMP_NUM_THREADS": "1"
    } | more  # fmt: skip
    arguments = [sys.executable, "-m", "memory_service", "reembed", *options]
    return subprocess.Popen(
        arguments, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=data
    )


@pytest.mark.parametrize("store", ["plain"], indirect=True)
async def test_the_command_killed_in_the_middle_goes_on_where_it_was(store: Store, tmp_path: Path) -> None:
    await store.tell(*(f"gardens number {n} " + "and a long walk under old trees " * 8 for n in range(200)))
    await store.embedded()
    dry = command(store.url, tmp_path, "--dry-run")
    said = (await asyncio.to_thread(dry.communicate, timeout=60))[0]
    assert "From a to packaged:all-minilm-l6-v2 (384 dimensions): 200 documents to embed." in said
    assert await store.count("embedding_models") == 1
    killed = command(store.url, tmp_path)
    async with asyncio.timeout(60):
        while not await store.vectors("packaged:all-minilm-l6-v2"):
            assert killed.poll() is None
            await asyncio.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    await asyncio.to_thread(killed.communicate)
    assert await store.count("embedding_models WHERE active AND name = 'a'") == 1
    done = await store.count(
        "embeddings AS e JOIN embedding_models AS m ON m.id = model_id WHERE m.name <> 'a' AND part = 0"
    )
    assert 0 < done < 200
    again = command(store.url, tmp_path, "--keep-old")
    said = (await asyncio.to_thread(again.communicate, timeout=90))[0]
    assert again.returncode == 0, said
    assert f": {200 - done} documents to embed." in said
    assert "Switched over. Restart the service" in said
    assert await store.vectors("a") >= 200


async def test_a_model_that_is_not_there_is_said(own_url: str, tmp_path: Path) -> None:
    refused = command(own_url, tmp_path, model="packaged:nonexistent")
    said = (await asyncio.to_thread(refused.communicate, timeout=60))[0]
    assert refused.returncode == 1
    assert "EMBEDDING_MODEL" in said
    assert "Traceback" not in said
