"""An embedder that loads, fails, is slow, or is told to stop."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from memory_service.db import Database
from memory_service.embeddings.background import BackgroundEmbedder
from memory_service.embeddings.embedder import Embedder, EmbedderNotReady, EmbedderUnavailable, Kind, Vectors


@dataclass
class Tiny:
    """Two dimensions, and a text it cannot stand."""

    name: str = "tiny"
    revision: str = "r1"
    dimension: int = 2
    seen: list[str] = field(default_factory=list)

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        self.seen += texts
        if "poison" in texts:
            raise ValueError("cannot embed poison")
        return np.tile(np.array([0.6, 0.8], np.float32), (len(texts), 1))


def nothing() -> Embedder:
    raise EmbedderUnavailable("EMBEDDING_MODEL=x could not be fetched. Set another.")


async def test_it_loads_in_the_background_and_then_embeds(database: Database) -> None:
    gate = threading.Event()

    def load() -> Embedder:
        gate.wait(200)
        return Tiny()

    embedder = BackgroundEmbedder("tiny", load, database)
    embedder.start()
    assert (embedder.health().status, embedder.ready) == ("loading", False)
    with pytest.raises(EmbedderNotReady, match="still loading"):
        await embedder.embed(["a"], "question")
    gate.set()
    await asyncio.wait_for(embedder.decided(), 60)
    health = embedder.health().model_dump()
    assert (health["status"], health["model"], health["dimension"]) == ("ok", "tiny", 2)
    assert embedder.model_id is not None
    assert (await embedder.embed(["a", "b"], "memory")).shape == (2, 2)
    with pytest.raises(ValueError, match="poison"):
        await embedder.embed(["poison"], "memory")
    await embedder.close()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (EmbedderUnavailable("EMBEDDING_MODEL=x could not be fetched."), "could not be fetched"),
        (RuntimeError("broken weights"), "EMBEDDING_MODEL=x could not be loaded: broken weights"),
        (OSError("disk gone"), "disk gone"),
    ],
)
async def test_a_model_that_does_not_load_leaves_the_reason(database: Database, error: Exception, says: str) -> None:
    def load() -> Embedder:
        raise error

    embedder = BackgroundEmbedder("x", load, database)
    embedder.start()
    await asyncio.wait_for(embedder.decided(), 60)
    assert embedder.health().status == "failed"
    assert says in embedder.health().detail
    with pytest.raises(EmbedderNotReady, match=says):
        await embedder.embed(["a"], "question")
    await embedder.close()


async def test_closing_does_not_wait_for_a_model_that_is_still_loading(database: Database) -> None:
    begun, gate, ended = threading.Event(), threading.Event(), threading.Event()

    def load() -> Embedder:
        begun.set()
        gate.wait(60)
        ended.set()
        return Tiny()

    embedder = BackgroundEmbedder("tiny", load, database)
    embedder.start()
    assert await asyncio.to_thread(begun.wait, 60)
    await embedder.close()
    assert not ended.is_set()
    gate.set()
