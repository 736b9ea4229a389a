"""What the stand-in answers with, and what it was asked."""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from memory_service.llm.stand_in.speech import speak

Json = dict[str, Any]
Wire = Literal["openai", "azure", "ollama"]
Trouble = Literal["status", "malformed", "empty", "page", "hang", "cut", "refusal"]

# Longer than any time-out a test sets; the server's end cuts it short.
_HANG_SECONDS = 30.0


@dataclass(frozen=True)
class Asked:
    """One chat request as it arrived."""

    wire: Wire
    path: str
    body: Json
    headers: Mapping[str, str]

    @property
    def model(self) -> str:
        """The model asked for."""
        return str(self.body.get("model", ""))

    @property
    def streamed(self) -> bool:
        """Whether the answer is wanted piece by piece. Ollama streams unless told otherwise."""
        return bool(self.body.get("stream", self.wire == "ollama"))

    @property
    def messages(self) -> list[Json]:
        """The turns, each with role and content."""
        return list(self.body.get("messages") or [])

    @property
    def system(self) -> str:
        """All system turns."""
        return self._said_by("system")

    @property
    def user(self) -> str:
        """All user turns."""
        return self._said_by("user")

    @property
    def prompt(self) -> str:
        """Every turn's text, one after the other."""
        return "\n".join(str(turn.get("content", "")) for turn in self.messages)

    @property
    def schema(self) -> Json | None:
        """The JSON schema that constrains the answer; None when there is none."""
        if self.wire == "ollama":
            shape = self.body.get("format")
            return shape if isinstance(shape, dict) else None
        wanted = self.body.get("response_format") or {}
        schema: Json | None = (wanted.get("json_schema") or {}).get("schema")
        return schema

    def _said_by(self, role: str) -> str:
        return "\n".join(str(turn.get("content", "")) for turn in self.messages if turn.get("role") == role)


@dataclass(frozen=True)
class Failure:
    """How a request goes wrong.

    Attributes:
        kind: "status" (an error body with `status`), "malformed" (JSON that breaks off), "empty" (no text), "page" (a web
            page instead of an answer), "hang" (nothing for `seconds`), "cut" (a stream, or body, that breaks off in the
            middle), "refusal" (the model declines).
    """

    kind: Trouble
    status: int = 500
    seconds: float = _HANG_SECONDS


Answer = str | Failure | Callable[[Asked], str]


@dataclass
class Script:
    """The answers to come and the requests that came. Everything may be changed while the server runs.

    Attributes:
        models: what it serves; another model is answered as the real servers answer.
        api_key: when set, requests without it are refused.
        always: the answer to every request that finds no answer queued.
        requests: the chat requests so far, in order.
    """

    models: list[str] = field(default_factory=lambda: ["casiopy:live", "gpt-4o-mini"])
    api_key: str | None = None
    always: Answer = speak
    requests: list[Asked] = field(default_factory=list)
    _queue: deque[Answer] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def say(self, *answers: Answer) -> None:
        """Queue answers, each for one request: a text, a function of the request, or a failure."""
        with self._lock:
            self._queue.extend(answers)

    def fail(self, kind: Trouble, *, status: int = 500, seconds: float = _HANG_SECONDS, times: int = 1) -> None:
        """Queue failures for the next `times` requests."""
        self.say(*[Failure(kind, status, seconds)] * times)

    def forget(self) -> None:
        """Take back every answer that is still queued."""
        with self._lock:
            self._queue.clear()

    def next_answer(self, asked: Asked) -> str | Failure:
        """Record the request and take what it shall be answered with."""
        with self._lock:
            self.requests.append(asked)
            answer = self._queue.popleft() if self._queue else self.always
        return answer(asked) if callable(answer) else answer
