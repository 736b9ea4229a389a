"""One thread that does all embedding: questions first, then memories, never two at once."""

import asyncio
import itertools
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from typing import Any, TypeVar

T = TypeVar("T")


class Urgency(IntEnum):
    """Smaller comes first."""

    STOP = 0
    QUESTION = 1  # a person waits for it
    MEMORY = 2


class EmbeddingThread:
    """Runs functions one after the other, outside the event loop.

    A daemon: a service told to stop does not wait for a model that is still loading.
    """

    def __init__(self) -> None:
        self._order = itertools.count()
        self._waiting: queue.PriorityQueue[tuple[Urgency, int, Callable[[], None]]] = queue.PriorityQueue()
        self._thread = threading.Thread(target=self._work, name="embedder", daemon=True)
        self._thread.start()

    async def run(self, urgency: Urgency, function: Callable[[], T]) -> T:
        """The result of `function`, once its turn has come. Cancelling before its turn takes it back."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()

        def call() -> None:
            if result.cancelled():
                return
            try:
                value = function()
            except Exception as error:  # noqa: BLE001  (not swallowed: it is raised where the result is awaited)
                self._tell(loop, _refuse, result, error)
            else:
                self._tell(loop, _fulfil, result, value)

        self._waiting.put((urgency, next(self._order), call))
        return await result

    def close(self) -> None:
        """Stop after the function that is running now; what waits is never run."""
        self._waiting.put((Urgency.STOP, next(self._order), lambda: None))

    def _work(self) -> None:
        while True:
            urgency, _, call = self._waiting.get()
            if urgency is Urgency.STOP:
                return
            call()

    @staticmethod
    def _tell(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(function, *arguments)


def _fulfil(result: "asyncio.Future[T]", value: T) -> None:
    if not result.done():
        result.set_result(value)


def _refuse(result: "asyncio.Future[T]", error: Exception) -> None:
    if not result.done():
        result.set_exception(error)
