"""Moving a store to another model: stopped and resumed, written to meanwhile, searched throughout."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from memory_service.embeddings.embedder import Kind, Vectors
from memory_service.embeddings.reembedding import Reembedding

from .moving import Hashing, Store, command, finished


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
    async with asyncio.timeout(120):
        while store.app.state.embedder.ready:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert await store.vectors("a") == before
    assert "restart with EMBEDDING_MODEL=b" in str(store.app.state.embedder.health().detail)
    assert await store.recalled()  # by words
    deleted = sum([step.deleted async for step in second.clean_up(model)])
    assert (deleted, await store.vectors("a")) == (before, 0)
    assert await store.count("pg_indexes WHERE indexname LIKE 'ix_embeddings_model_%'") == 1
    assert await store.vectors("b") == 151


async def test_what_changes_while_it_is_embedded_is_embedded_as_it_is_then(store: Store) -> None:
    refused = "Lo siento, como modelo de lenguaje no puedo ayudarte con eso."
    dropped = await store.ask("gardens at night", refused)
    await store.embedded()
    loop, texts = asyncio.get_running_loop(), []

    class Overruled(Hashing):
        """A human overrules the scorer while the model is at what the exchange said before."""

        def embed(self, asked: Sequence[str], kind: Kind) -> Vectors:
            texts.append(list(asked))
            if len(texts) == 1:
                overruled = store.http.put(f"/interactions/{dropped}/quality", json={"quality_score": 1.0})
                asyncio.run_coroutine_threadsafe(overruled, loop).result(60).raise_for_status()
            return super().embed(asked, kind)

    moving = Reembedding(store.database, Overruled("b", 48))
    model = await moving.prepare()
    assert sum([step.embedded async for step in moving.embed(model)]) == 0
    assert texts == [["gardens at night"]]
    assert await store.vectors("b") == 0
    assert await moving.switch(model) == 1  # the worker embeds it then, with its reply
    assert await store.count("interactions WHERE embedding_status = 'pending'") == 1


async def test_a_model_that_is_not_there_is_said(own_url: str, tmp_path: Path) -> None:
    refused = command(own_url, tmp_path, model="packaged:nonexistent")
    said = await finished(refused)
    assert refused.returncode == 1
    assert "EMBEDDING_MODEL" in said
    assert "Traceback" not in said
