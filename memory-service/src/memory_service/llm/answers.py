"""What every backend does with an answer: the time it may take, thoughts taken out, nothing said is an error."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

from memory_service.llm.model import ModelAnswerUnusable
from memory_service.llm.thoughts import ThoughtFilter, without_thoughts
from memory_service.settings import LOOPBACK_HOSTS

T = TypeVar("T")

# A server that is there accepts a connection within milliseconds, across an ocean within a second.
CONNECT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How long one answer may take, and how many tokens prompt and answer may have together."""

    timeout_seconds: float
    context_tokens: int


def shown(url: str) -> str:
    """An address as it may be told to clients: without a user and password inside."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def is_this_machine(url: str) -> bool:
    """Whether a proxy of the environment has no business between here and there."""
    return (urlsplit(url).hostname or "") in LOOPBACK_HOSTS


def usable(text: str | None, where: str) -> str:
    """The answer without its thoughts.

    Raises:
        ModelAnswerUnusable: nothing is left.
    """
    said = without_thoughts(text or "")
    if not said:
        raise ModelAnswerUnusable(f"{where} gave an empty answer. Try again, or choose another model.")
    return said


async def spoken(pieces: AsyncGenerator[str, None], where: str) -> AsyncGenerator[str, None]:
    """The pieces of an answer without its thoughts and without the white space around it.

    Raises:
        ModelAnswerUnusable: nothing was said.
    """
    thoughts, anything = ThoughtFilter(), False
    async with aclosing(pieces):
        async for piece in pieces:
            said = thoughts.feed(piece)
            if not anything:
                said = said.lstrip()
            if said:
                anything = True
                yield said
    rest = thoughts.end()
    if rest.strip() or (anything and rest):
        yield rest
    elif not anything:
        usable(None, where)


class Deadline:
    """The end of a wait that has many parts.

    Unlike `asyncio.timeout` around a generator it is never open while the caller holds a piece.
    """

    def __init__(self, seconds: float) -> None:
        self._at = asyncio.get_running_loop().time() + seconds

    async def wait(self, awaitable: Awaitable[T]) -> T:
        """The result of `awaitable`.

        Raises:
            TimeoutError: it is not there in time.
        """
        async with asyncio.timeout_at(self._at):
            return await awaitable
