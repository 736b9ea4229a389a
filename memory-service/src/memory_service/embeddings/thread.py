"""One thread that does all embedding: questions first, as many at once as wait, then memories, a little at a time.

Last comes what nobody waits for yet.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from memory_service.embeddings.embedder import Embedder, InRuns, Kind, Run, Vectors

T = TypeVar("T")

# Questions embedded together. 16 questions of 10 words take 17 ms together and 35 ms one after the other (one core,
# all-MiniLM-L6-v2 in bf16); more would gain little and let the first wait for many others.
MOST_QUESTIONS = 16


class _Task(Protocol):
    """Something the thread does in steps."""

    def step(self) -> bool:
        """Do a little; whether nothing is left to do."""


@dataclass(eq=False, slots=True)
class _Result:
    """Where a result is awaited."""

    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"

    @property
    def wanted(self) -> bool:
        return not self.future.cancelled()

    def fulfil(self, value: object) -> None:
        self._tell(_fulfil, value)

    def refuse(self, error: BaseException) -> None:
        """Raise `error` where the result is awaited; as a RuntimeError, if it would end more than that, or cannot be raised."""
        if not isinstance(error, Exception) or isinstance(error, StopIteration):
            cause, error = error, RuntimeError(f"the model broke off: {type(error).__name__} {error}".rstrip())
            error.__cause__ = cause
        self._tell(_refuse, error)

    def _tell(self, how: "Callable[[asyncio.Future[Any], Any], None]", what: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(how, self.future, what)


@dataclass(eq=False, slots=True)
class _Call:
    """A function to run once."""

    function: Callable[[], object]
    result: _Result

    def step(self) -> bool:
        if self.result.wanted:
            try:
                value = self.function()
            except BaseException as error:  # noqa: BLE001  (a panic of a library, too, is raised where it is awaited)
                self.result.refuse(error)
            else:
                self.result.fulfil(value)
        return True


@dataclass(eq=False, slots=True)
class _Request:
    """Texts that somebody waits for, and the vectors made so far."""

    embedder: Embedder
    texts: Sequence[str]
    kind: Kind
    result: _Result
    vectors: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    alone: bool = False

    def take(self, place: int, vector: NDArray[np.float32]) -> None:
        self.vectors[place] = vector
        if len(self.vectors) == len(self.texts):
            self.result.fulfil(np.stack([self.vectors[place] for place in range(len(self.texts))]))

    @property
    def open(self) -> bool:
        return self.result.wanted and len(self.vectors) < len(self.texts)


class _Batch:
    """Requests embedded together, one run of the model per step."""

    def __init__(self, requests: Sequence[_Request], again: Callable[[Sequence[_Request]], None]) -> None:
        self._requests = requests
        self._again = again
        self._asked = [(request, place) for request in requests for place in range(len(request.texts))]
        self._runs = _runs(
            requests[0].embedder, [request.texts[place] for request, place in self._asked], requests[0].kind
        )

    def step(self) -> bool:
        """One run. Whoever's texts are all embedded gets them at once; nothing is done for who has gone."""
        if not any(request.open for request in self._requests):
            return True
        try:
            places, vectors = next(self._runs)
            for place, vector in list(zip(places, vectors, strict=True)):  # of a run with too few, nobody gets any
                request, own = self._asked[place]
                request.take(own, vector)
        except BaseException as error:  # noqa: BLE001  (a panic of a library, too, is raised where it is awaited)
            self._fail(error)
            return True
        return False

    def _fail(self, error: BaseException) -> None:
        """One bad text must not spoil the others: each request is tried again alone."""
        if len(self._requests) == 1:
            self._requests[0].result.refuse(error)
            return
        self._again([request for request in self._requests if request.open])


def _runs(embedder: Embedder, texts: Sequence[str], kind: Kind) -> Iterator[Run]:
    if isinstance(embedder, InRuns):
        yield from embedder.runs(texts, kind)
    else:
        yield range(len(texts)), embedder.embed(texts, kind)


class EmbeddingThread:
    """Embeds outside the event loop, one run of the model at a time.

    A daemon: a service told to stop does not wait for a model that is still loading.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._questions: deque[_Request] = deque()
        self._asking: _Batch | None = None
        self._rest: deque[_Task] = deque()
        self._ahead: deque[_Task] = deque()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="embedder", daemon=True)
        self._thread.start()

    async def run(self, function: Callable[[], T]) -> T:
        """The result of `function`, once its turn has come. Cancelling before its turn takes it back."""
        result = self._result()
        self._put(self._rest, _Call(function, result))
        value: T = await result.future
        return value

    async def embed(self, embedder: Embedder, texts: Sequence[str], kind: Kind, *, ahead: bool = False) -> Vectors:
        """Vectors of `texts`. Cancelling takes back what has not been embedded yet.

        Questions go before memories and between two runs of them; questions that wait together are embedded together.

        Args:
            ahead: memories nobody waits for yet: all others go before them and between two runs of them.

        Raises:
            EMBEDDING_ERRORS: a text could not be embedded.
        """
        if not texts:
            return np.empty((0, embedder.dimension), np.float32)
        request = _Request(embedder, texts, kind, self._result())
        if kind == "question":
            self._put(self._questions, request)
        else:
            self._put(self._ahead if ahead else self._rest, _Batch([request], self._ask_alone))
        vectors: Vectors = await request.result.future
        return vectors

    def close(self) -> None:
        """Stop after the run that is under way; what waits is never done."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    @staticmethod
    def _result() -> _Result:
        loop = asyncio.get_running_loop()
        return _Result(loop, loop.create_future())

    def _put(self, waiting: deque[Any], what: object) -> None:
        with self._changed:
            waiting.append(what)
            self._changed.notify()

    def _ask_alone(self, requests: Sequence[_Request]) -> None:
        for request in reversed(requests):
            request.alone = True
            request.vectors.clear()
            self._questions.appendleft(request)

    def _work(self) -> None:
        while (task := self._next()) is not None:
            if task.step():
                self._done(task)

    def _next(self) -> _Task | None:
        """What to do next; waits for something to do. None: stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._asking or self._questions or self._rest or self._ahead)
            if self._closed:
                return None
            if self._asking is None and self._questions:
                self._asking = self._together()
            return self._asking or (self._rest or self._ahead)[0]

    def _done(self, task: _Task) -> None:
        with self._changed:
            if task is self._asking:
                self._asking = None
            else:
                waiting = self._rest if self._rest and task is self._rest[0] else self._ahead
                waiting.popleft()

    def _together(self) -> _Batch:
        """The questions that wait, as many as one batch takes: the first, and those after it for the same model."""
        batch = [self._questions.popleft()]
        room = MOST_QUESTIONS - len(batch[0].texts)
        while self._questions and not batch[0].alone:
            following = self._questions[0]
            if following.alone or following.embedder is not batch[0].embedder or len(following.texts) > room:
                break
            room -= len(following.texts)
            batch.append(self._questions.popleft())
        return _Batch([request for request in batch if request.result.wanted] or batch, self._ask_alone)


def _fulfil(future: "asyncio.Future[Any]", value: object) -> None:
    if not future.done():
        future.set_result(value)


def _refuse(future: "asyncio.Future[Any]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
