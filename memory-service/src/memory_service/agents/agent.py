"""What an agent is, and what it is given to answer with."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.agents.tables import OwnTable
from memory_service.llm.model import LanguageModel
from memory_service.sessions.history import Exchange

# What `decision` says when no agent was picked.
PERSONA = "persona"


@dataclass(frozen=True, slots=True)
class Turn:
    """A message to answer, and what there is to answer it with.

    Attributes:
        history: the session's last exchanges, oldest first; `Exchange.agent` says who answered (None: the persona).
        session_id: as the client knows it.
        language: ISO 639-1 code of what the persona speaks.
        model: None where no language model is configured.
        transaction: opens one that sees and writes this owner's rows only; keep none open while a model thinks.
    """

    message: str
    history: Sequence[Exchange]
    owner: str
    user_id: str
    session_id: str
    language: str
    model: LanguageModel | None
    transaction: Callable[[], AbstractAsyncContextManager[AsyncConnection]]


@dataclass(frozen=True, slots=True)
class Tool:
    """Something an agent can do.

    Attributes:
        parameters: JSON Schema of the arguments, an object.
        run: carries it out; answers in words.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    run: Callable[[Turn, Mapping[str, Any]], Awaitable[str]]


class Agent(Protocol):
    """A plug-in. One instance serves all requests of the process: it keeps nothing of a turn in itself."""

    @property
    def name(self) -> str:
        """What `decision` says when it answers: lower-case letters, digits, `-` and `_`."""
        ...

    @property
    def description(self) -> str:
        """When to pick it, in a sentence; a model reads it."""
        ...

    @property
    def tools(self) -> Sequence[Tool]:
        """What it can do."""
        ...

    @property
    def tables(self) -> Sequence[OwnTable]:
        """Tables of its own, made when the service starts."""
        ...

    def claims(self, message: str, history: Sequence[Exchange]) -> float:
        """How sure it is that the message is for it, 0 to 1 (see `routing`); quick, and without side effects."""
        ...

    async def answer(self, turn: Turn) -> str:
        """Answer. A `ServiceError` becomes the response; nothing is stored of the exchange then."""
        ...
