"""A model on an Ollama server, spoken to at /api/chat: everything its Modelfile says of sampling stays in force."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import httpx
from ollama import AsyncClient, ChatResponse, ResponseError

from memory_service.llm.answers import CONNECT_SECONDS, Deadline, Limits, is_this_machine, shown, spoken, usable
from memory_service.llm.model import Message, ModelUnavailable, Reply

_DEFAULT_PORT = 11434


def ollama_url(host: str) -> str:
    """The address behind OLLAMA_HOST: "host", "host:port", "http://host:port"; 0.0.0.0, where a server listens, is here."""
    parts = urlsplit(host if "://" in host else f"http://{host}")
    name = "127.0.0.1" if parts.hostname in (None, "0.0.0.0") else parts.hostname  # noqa: S104 (compared with)
    name = f"[{name}]" if ":" in name else name
    port = parts.port or ((443 if parts.scheme == "https" else 80) if "://" in host else _DEFAULT_PORT)
    return urlunsplit((parts.scheme, f"{name}:{port}", parts.path.rstrip("/"), "", ""))


class OllamaModel:
    """One model of one Ollama server."""

    def __init__(self, host: str, model: str, limits: Limits) -> None:
        self._name = model
        self.context_tokens = limits.context_tokens
        self._url = ollama_url(host)
        self._seconds = limits.timeout_seconds
        self._client = AsyncClient(
            self._url,
            timeout=httpx.Timeout(limits.timeout_seconds, connect=CONNECT_SECONDS),
            trust_env=not is_this_machine(self._url),
        )

    @property
    def name(self) -> str:
        """Its tag, e.g. casiopy:live."""
        return self._name

    @property
    def where(self) -> str:
        """The server, in words."""
        return f"Ollama at {shown(self._url)} (OLLAMA_HOST)"

    async def reply(
        self, messages: Sequence[Message], *, schema: Mapping[str, Any] | None = None, max_tokens: int | None = None
    ) -> Reply:
        """The whole answer.

        Raises:
            ModelUnavailable: nobody answers, or with an error. ModelAnswerUnusable: an empty answer.
        """
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._client.chat(
                    self._name, _turns(messages), format=_format(schema), options=_options(schema, max_tokens)
                )
        except (ResponseError, httpx.HTTPError, ConnectionError, TimeoutError, ValueError) as error:
            raise self._away(error) from error
        text = usable(answer.message.content, self.where)
        return Reply(text, answer.model or self._name, answer.prompt_eval_count, answer.eval_count)

    async def stream(self, messages: Sequence[Message], *, max_tokens: int | None = None) -> AsyncGenerator[str, None]:
        """The answer piece by piece.

        Raises:
            ModelUnavailable: also in mid-answer, when it breaks off. ModelAnswerUnusable: nothing was said.
        """
        async for piece in spoken(self._pieces(messages, max_tokens), self.where):
            yield piece

    async def check(self) -> None:
        """Ask whether the server is there and has the model.

        Raises:
            ModelUnavailable: it is not, or has not.
        """
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                served = {model.model for model in (await self._client.list()).models}
        except (ResponseError, httpx.HTTPError, ConnectionError, TimeoutError, ValueError) as error:
            raise self._away(error) from error
        if self._name not in served and f"{self._name}:latest" not in served:
            raise ModelUnavailable(f"{self.where} has no model {self._name!r}. Deploy it there, or change LLM_MODEL.")

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()  # type: ignore[no-untyped-call]  # the library forgot its annotation

    async def _pieces(self, messages: Sequence[Message], max_tokens: int | None) -> AsyncGenerator[str, None]:
        deadline = Deadline(self._seconds)
        try:
            opened = await deadline.wait(
                self._client.chat(self._name, _turns(messages), stream=True, options=_options(None, max_tokens))
            )
            # Annotated as an iterator, it is a generator: left open it would hold its connection.
            async with aclosing(cast(Any, opened)) as parts:
                while (part := cast(ChatResponse | None, await deadline.wait(anext(parts, None)))) is not None:
                    if part.message.content:
                        yield part.message.content
                    if part.done:
                        return
        except (ResponseError, httpx.HTTPError, ConnectionError, TimeoutError, ValueError) as error:
            raise self._away(error) from error
        raise ModelUnavailable(f"{self.where} broke off in the middle of an answer.")

    def _away(self, error: Exception) -> ModelUnavailable:
        if isinstance(error, ResponseError):
            if error.status_code == httpx.codes.NOT_FOUND:
                said = f"has no model {self._name!r} (HTTP 404): deploy it there, or change LLM_MODEL"
            else:
                said = f"answered with an error: {str(error.error)[:300]} (HTTP {error.status_code})"
        elif isinstance(error, httpx.ConnectTimeout | httpx.ConnectError | ConnectionError):
            said = "does not answer: start it (`ollama serve`), or change the setting"
        elif isinstance(error, TimeoutError | httpx.TimeoutException):
            said = f"took longer than {self._seconds:g} seconds (LLM_TIMEOUT_SECONDS)"
        elif isinstance(error, ValueError):
            said = "does not answer like Ollama: is another program listening there?"
        else:
            said = f"broke the connection ({type(error).__name__})"
        return ModelUnavailable(f"{self.where} {said}.")


def _turns(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _format(schema: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if schema is None else dict(schema)


def _options(schema: Mapping[str, Any] | None, max_tokens: int | None) -> dict[str, float | int]:
    """Only what the request itself needs; facts are read at temperature 0, a character keeps her own."""
    options: dict[str, float | int] = {}
    if schema is not None:
        options["temperature"] = 0
    if max_tokens is not None:
        options["num_predict"] = max_tokens
    return options
