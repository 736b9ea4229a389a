"""Vectors that are begun before they are asked for: each text is embedded once, whoever asks, and nothing waits for ever."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_service.embeddings import ahead
from memory_service.embeddings.ahead import EmbeddingAhead
from memory_service.embeddings.embedder import Vectors
from sqlalchemy.ext.asyncio import AsyncEngine

from .moving import Store

Gates = Callable[[AsyncEngine, str], AbstractAsyncContextManager[Any]]


class Model:
    """A text's vector is its number. "poison" it refuses, and it waits to be let in."""

    def __init__(self, *, let: bool = True) -> None:
        self.calls: list[list[str]] = []
        self.ahead: list[bool] = []
        self.let = asyncio.Event()
        if let:
            self.let.set()

    async def embed(self, texts: Sequence[str], *, ahead: bool) -> Vectors:
        self.calls.append(list(texts))
        self.ahead.append(ahead)
        await self.let.wait()
        if "poison" in texts:
            raise ValueError("cannot embed poison")
        return np.array([[float(text)] for text in texts], np.float32)

    @property
    def seen(self) -> list[str]:
        return [text for call in self.calls for text in call]


def numbers(vectors: Vectors) -> list[str]:
    return [f"{vector[0]:g}" for vector in vectors]


_TEXTS = st.lists(st.integers(0, 9).map(str), max_size=12)


@given(begun=_TEXTS, asked=st.lists(_TEXTS.filter(bool), max_size=3))
def test_whoever_asks_gets_the_vectors_of_the_texts_in_their_order(begun: list[str], asked: list[list[str]]) -> None:
    async def check() -> None:
        model = Model()
        made = EmbeddingAhead(model.embed)
        made.begin(begun)
        for texts in asked:
            assert numbers(await made.fetch(texts)) == texts

    asyncio.run(check())


async def test_what_was_begun_is_embedded_once_and_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_BATCH", 3)
    model = Model()
    made = EmbeddingAhead(model.embed)
    made.begin(["1", "2", "2", "3", "4"])
    made.begin(["4", "5"])  # a request that is carried out again
    assert numbers(await made.fetch(["5", "3", "6", "1"])) == ["5", "3", "6", "1"]
    assert model.calls == [["1", "2", "3"], ["4"], ["5"], ["6"]]
    # Fetched once: who stores the same text later has it embedded anew, and memory does not fill up.
    await made.fetch(["1", "2"])
    assert model.calls[4:] == [["1"]]


async def test_one_bad_text_is_left_to_whoever_asks_for_it() -> None:
    model = Model()
    made = EmbeddingAhead(model.embed)
    made.begin(["1", "poison", "2"])
    assert numbers(await made.fetch(["2", "1"])) == ["2", "1"]
    with pytest.raises(ValueError, match="poison"):
        await made.fetch(["poison"])


async def test_there_is_room_for_so_many_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_MOST", 3)
    model = Model()
    made = EmbeddingAhead(model.embed)
    made.begin(["1", "2"])
    made.begin(["3", "4", "5"])
    await made.fetch(["1"])
    assert model.seen == ["1", "2", "3"]
    made.begin(["6", "7"])
    await asyncio.sleep(0)
    assert model.seen == ["1", "2", "3", "6"]


async def test_what_was_not_begun_goes_before_what_was_and_twice_the_same_text_is_one() -> None:
    model = Model(let=False)
    made = EmbeddingAhead(model.embed)
    made.begin(["1", "2"])
    await asyncio.sleep(0)
    asked = asyncio.create_task(made.fetch(["2", "3", "2", "3"]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (model.calls, model.ahead) == ([["1", "2"], ["3"]], [True, False])
    model.let.set()
    assert numbers(await asked) == ["2", "3", "2", "3"]
    assert len(model.calls) == 2


async def test_what_nobody_fetches_is_forgotten_some_time_after_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_KEPT_SECONDS", 0.02)
    model = Model(let=False)
    made = EmbeddingAhead(model.embed)
    made.begin(["1", "2"])
    asked = asyncio.create_task(made.fetch(["1"]))
    await asyncio.sleep(0.05)
    made.begin(["3"])  # however long the others take, they go on
    model.let.set()
    assert numbers(await asked) == ["1"]
    assert numbers(await made.fetch(["2"])) == ["2"]
    assert model.seen == ["1", "2", "3"]
    async with asyncio.timeout(60):
        while made._begun:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert numbers(await made.fetch(["3"])) == ["3"]
    assert model.seen == ["1", "2", "3", "3"]


async def test_what_is_left_over_keeps_no_other_vector_in_memory() -> None:
    model = Model()
    made = EmbeddingAhead(model.embed)
    made.begin(["1", "2"])
    await made.fetch(["1"])
    kept = [one.vector.result() for one in made._begun.values()]
    assert [vector is not None and vector.base is None for vector in kept] == [True]


async def test_who_is_told_to_stop_does_not_wait_and_takes_nobodys_vectors_away() -> None:
    model = Model(let=False)
    made = EmbeddingAhead(model.embed)
    made.begin(["1", "2"])
    first = asyncio.create_task(made.fetch(["1"]))
    other = asyncio.create_task(made.fetch(["2"]))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    model.let.set()
    assert numbers(await other) == ["2"]
    assert model.calls == [["1", "2"]]


async def test_closing_gives_up_what_is_under_way() -> None:
    model = Model(let=False)
    made = EmbeddingAhead(model.embed)
    made.begin(["1"])
    await asyncio.sleep(0)
    waiting = asyncio.create_task(made.fetch(["2"]))
    made.close()
    model.let.set()
    assert numbers(await waiting) == ["2"]
    assert numbers(await made.fetch(["1"])) == ["1"]
    assert model.seen == ["1", "2", "1"]


@pytest.mark.parametrize("store", ["plain"], indirect=True)
async def test_a_bulks_texts_are_embedded_while_they_are_stored_and_once(store: Store, gate: Gates) -> None:
    embedder = store.app.state.embedder
    texts = [*(f"gardens number {n}" for n in range(100)), " ".join(f"Long ago I had {n} gardens." for n in range(30))]
    async with gate(store.superuser, "BEFORE INSERT ON interactions FOR EACH STATEMENT") as held:
        telling = asyncio.create_task(store.tell(*texts))
        await held.waiting()
        async with asyncio.timeout(60):
            while embedder._embedder.embedded < len(texts):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await held.open()
        await telling
    await store.embedded()
    passages = await store.count("embeddings") - len(texts)
    assert passages > 1
    assert embedder._embedder.embedded == len(texts) + passages
    # For a session that does not exist nothing is begun.
    session = {"session_id": "00000000-0000-0000-0000-000000000000", "input_text": "nobody", "output_text": ""}
    refused = await store.http.post("/interactions/bulk", json={"interactions": [session]})
    assert refused.status_code == 404
    assert embedder._embedder.embedded == len(texts) + passages
