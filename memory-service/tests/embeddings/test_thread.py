"""The thread that embeds: who goes first, who goes together, and who has gone."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from memory_service.embeddings.embedder import Kind, Run, Vectors
from memory_service.embeddings.openvino_model import OpenVinoEmbedder
from memory_service.embeddings.thread import MOST_QUESTIONS, EmbeddingThread


@dataclass
class Stepping:
    """Embeds two texts a run, as their lengths, one run whenever it is let; "bad" cannot be embedded."""

    name: str = "stepping"
    revision: str = "r1"
    dimension: int = 1
    engine: str = "a test"
    runs_made: list[list[str]] = field(default_factory=list)
    let: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    size: int = 2

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        raise AssertionError("the thread takes it in runs")

    def runs(self, texts: Sequence[str], kind: Kind) -> Iterator[Run]:
        width = self.size if kind == "memory" else len(texts)
        for start in range(0, len(texts), width):
            places = range(start, min(start + width, len(texts)))
            self.begun.release()
            assert self.let.acquire(timeout=10)
            self.runs_made.append([texts[place] for place in places])
            if any("bad" in texts[place] for place in places):
                raise ValueError("a bad text")
            yield places, np.array([[len(texts[place])] for place in places], np.float32)

    async def in_a_run(self) -> None:
        """Wait until a run has begun."""
        assert await asyncio.to_thread(self.begun.acquire, timeout=10)

    def go(self, runs: int = 1_000) -> None:
        self.let.release(runs)


@pytest.fixture
async def thread() -> AsyncIterator[EmbeddingThread]:
    """A thread of its own."""
    embedding = EmbeddingThread()
    yield embedding
    embedding.close()


async def ask(
    thread: EmbeddingThread, model: Stepping, *texts: str, kind: Kind = "question", ahead: bool = False
) -> "asyncio.Task[Vectors]":
    """Texts that wait in `thread` when this returns."""
    task = asyncio.create_task(thread.embed(model, texts, kind, ahead=ahead))
    await asyncio.sleep(0)
    return task


async def test_questions_go_together_between_two_runs_of_a_memory_batch(thread: EmbeddingThread) -> None:
    model = Stepping()
    memories = await ask(thread, model, "m1", "m22", "m333", "m4444", "m5", kind="memory")
    later = await ask(thread, model, "m6", kind="memory")
    await model.in_a_run()
    questions = [await ask(thread, model, "q" * size) for size in (1, 2, 3)]
    model.go()
    assert [float((await question)[0, 0]) for question in questions] == [1, 2, 3]
    assert (await memories)[:, 0].tolist() == [2, 3, 4, 5, 2]
    assert (await later).tolist() == [[2]]
    assert model.runs_made == [["m1", "m22"], ["q", "qq", "qqq"], ["m333", "m4444"], ["m5"], ["m6"]]


async def test_memories_somebody_waits_for_go_before_those_embedded_ahead(thread: EmbeddingThread) -> None:
    model = Stepping()
    early = await ask(thread, model, "a1", "a2", "a3", kind="memory", ahead=True)
    later = await ask(thread, model, "a4", kind="memory", ahead=True)
    await model.in_a_run()
    memories = await ask(thread, model, "m1", "m2", "m3", kind="memory")
    question = await ask(thread, model, "q")
    model.go()
    await asyncio.gather(early, later, memories, question)
    assert model.runs_made == [["a1", "a2"], ["q"], ["m1", "m2"], ["m3"], ["a3"], ["a4"]]


async def test_a_batch_of_questions_is_bounded(thread: EmbeddingThread) -> None:
    model = Stepping()
    first = await ask(thread, model, "first")
    await model.in_a_run()
    questions = [await ask(thread, model, f"q{place}") for place in range(MOST_QUESTIONS + 3)]
    model.go()
    await asyncio.gather(first, *questions)
    assert [len(run) for run in model.runs_made] == [1, MOST_QUESTIONS, 3]


async def test_a_question_taken_back_is_not_embedded(thread: EmbeddingThread) -> None:
    model = Stepping()
    first = await ask(thread, model, "first")
    await model.in_a_run()
    kept, taken_back = await ask(thread, model, "kept"), await ask(thread, model, "taken back")
    forgotten = await ask(thread, model, "forgotten", kind="memory")
    taken_back.cancel()
    forgotten.cancel()
    await asyncio.sleep(0)
    model.go()
    await asyncio.gather(first, kept)
    assert (await thread.embed(model, ["last"], "memory")).tolist() == [[4]]
    assert model.runs_made == [["first"], ["kept"], ["last"]]
    assert taken_back.cancelled()


async def test_a_memory_batch_whose_caller_has_gone_stops_after_its_run(thread: EmbeddingThread) -> None:
    model = Stepping()
    memories = await ask(thread, model, *["m"] * 100, kind="memory")
    await model.in_a_run()
    memories.cancel()
    await asyncio.sleep(0)
    model.go()
    assert (await thread.embed(model, ["next"], "memory")).tolist() == [[4]]
    assert model.runs_made == [["m", "m"], ["next"]]


async def test_a_bad_question_does_not_spoil_the_others(thread: EmbeddingThread) -> None:
    model = Stepping()
    first = await ask(thread, model, "first")
    await model.in_a_run()
    good, bad, fine = [await ask(thread, model, text) for text in ("good", "bad", "fine")]
    model.go()
    assert (await good).tolist() == (await fine).tolist() == [[4]]
    with pytest.raises(ValueError, match="a bad text"):
        await bad
    await first
    assert model.runs_made[1:] == [["good", "bad", "fine"], ["good"], ["bad"], ["fine"]]


class Panic(BaseException):
    """What a library in Rust raises when it gives up."""


class Breaking(Stepping):
    """Breaks off at "panic", makes a vector too few of "short", and none at all of "none"."""

    def runs(self, texts: Sequence[str], kind: Kind) -> Iterator[Run]:
        if "panic" in texts:
            raise Panic("index out of bounds")
        if "none" in texts:
            return
        yield range(len(texts)), np.ones((len(texts) - ("short" in texts), 1), np.float32)


@pytest.mark.parametrize("kind", ["memory", "question"])
@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("panic", RuntimeError, "the model broke off: Panic index out of bounds"),
        ("none", RuntimeError, "the model broke off: StopIteration"),
        ("short", ValueError, "shorter"),
    ],
)
async def test_whatever_breaks_a_run_only_its_callers_are_refused(
    thread: EmbeddingThread, text: str, error: type[Exception], says: str, kind: Kind
) -> None:
    model = Breaking()
    async with asyncio.timeout(10):
        first = asyncio.create_task(thread.run(lambda: model.let.acquire(timeout=10)))
        broken = await ask(thread, model, text, kind=kind)
        fine = await ask(thread, model, "fine", kind=kind)
        model.go()
        await first
        with pytest.raises(error, match=says):
            await broken
        assert (await fine).tolist() == [[1]]


async def test_a_function_that_panics_leaves_the_thread_alive(thread: EmbeddingThread) -> None:
    def panic() -> None:
        raise Panic("a broken model file")

    async with asyncio.timeout(10):
        with pytest.raises(RuntimeError, match="the model broke off: Panic a broken model file"):
            await thread.run(panic)
        assert await thread.run(lambda: 7) == 7


async def test_two_models_are_never_asked_together(thread: EmbeddingThread) -> None:
    model, other = Stepping(), Stepping(name="other")
    first = await ask(thread, model, "first")
    await model.in_a_run()
    questions = [await ask(thread, model, "a"), await ask(thread, other, "b"), await ask(thread, model, "c")]
    model.go()
    other.go()
    await asyncio.gather(first, *questions)
    assert (model.runs_made, other.runs_made) == ([["first"], ["a"], ["c"]], [["b"]])


async def test_no_texts_are_no_vectors(thread: EmbeddingThread) -> None:
    assert (await thread.embed(Stepping(), [], "memory")).shape == (0, 1)


async def test_functions_run_in_their_turn_and_their_errors_come_back(thread: EmbeddingThread) -> None:
    order, gate = list[str](), threading.Event()
    first = asyncio.create_task(thread.run(lambda: gate.wait(10)))
    await asyncio.sleep(0)
    second = asyncio.create_task(thread.run(lambda: order.append("second")))
    taken_back = asyncio.create_task(thread.run(lambda: order.append("taken back")))
    failing = asyncio.create_task(thread.run(lambda: int("no number")))
    await asyncio.sleep(0)
    taken_back.cancel()
    await asyncio.sleep(0)
    gate.set()
    assert await first is True
    await second
    with pytest.raises(ValueError, match="no number"):
        await failing
    assert order == ["second"]


async def test_what_waits_when_the_thread_is_closed_is_never_run(thread: EmbeddingThread) -> None:
    model = Stepping()
    first = await ask(thread, model, "first")
    await model.in_a_run()
    waiting = await ask(thread, model, "waiting")
    thread.close()
    model.go()
    await asyncio.wait_for(first, 10)
    await asyncio.to_thread(thread._thread.join, 10)
    assert not thread._thread.is_alive()
    assert model.runs_made == [["first"]]
    waiting.cancel()


async def test_many_callers_at_once_get_their_own_vectors(thread: EmbeddingThread, exact: OpenVinoEmbedder) -> None:
    texts = [f"{'gato ' * (place % 30)}{place}" for place in range(60)]
    kinds: list[Kind] = ["question" if place % 3 else "memory" for place in range(60)]
    made = await asyncio.gather(*(thread.embed(exact, [one], kind) for one, kind in zip(texts, kinds, strict=True)))
    assert np.concatenate(made) == pytest.approx(exact.embed(texts, "memory"), abs=1e-5)
