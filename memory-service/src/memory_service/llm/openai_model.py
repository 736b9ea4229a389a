"""A model behind OpenAI's interface: OpenAI's own service, an Azure resource, or any server that speaks the same."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast

import openai
from openai import AsyncAzureOpenAI, AsyncOpenAI, DefaultAsyncHttpxClient, Timeout
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import ChoiceDelta

from memory_service.llm.answers import CONNECT_SECONDS, Deadline, Limits, is_this_machine, shown, spoken, usable
from memory_service.llm.model import Message, ModelAnswerUnusable, ModelUnavailable, Reply

OPENAI_URL = "https://api.openai.com/v1"
# A connection that lay idle may be closed by the server at the very moment it is used again: worth one more try.
_RETRIES = 1


class OpenAIModel:
    """One model (or Azure deployment) of one server.

    `where` names the server and the setting that chose it; it opens every error message. `hosted` is True for OpenAI and
    Azure, whose reasoning models refuse `max_tokens` and a temperature; every other server knows those two best.
    """

    def __init__(
        self,
        client: AsyncOpenAI,
        model: str,
        limits: Limits,
        *,
        where: str,
        hosted: bool,
        shown_as: str | None = None,
    ) -> None:
        self._client = client
        self._model = model
        self._shown_as = shown_as or model
        self._hosted = hosted
        self._seconds = limits.timeout_seconds
        self.context_tokens = limits.context_tokens
        self.where = where

    @property
    def name(self) -> str:
        """The model's name on its server."""
        return self._shown_as

    async def reply(
        self, messages: Sequence[Message], *, schema: Mapping[str, Any] | None = None, max_tokens: int | None = None
    ) -> Reply:
        """The whole answer.

        Raises:
            ModelUnavailable: nobody answers, or with an error. ModelAnswerUnusable: empty, declined, or cut by a filter.
        """
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._client.chat.completions.create(
                    **self._request(messages, schema, max_tokens), stream=False
                )
        except (openai.OpenAIError, TimeoutError, ValueError) as error:
            raise self._away(error) from error
        return self._read(answer)

    async def stream(self, messages: Sequence[Message], *, max_tokens: int | None = None) -> AsyncGenerator[str, None]:
        """The answer piece by piece.

        Raises:
            ModelUnavailable: also in mid-answer, when it breaks off. ModelAnswerUnusable: nothing was said.
        """
        async for piece in spoken(self._pieces(messages, max_tokens), self.where):
            yield piece

    async def check(self) -> None:
        """Ask whether the server is there and takes the key. A server that lists no models is there, too.

        Raises:
            ModelUnavailable: it is not, or does not.
        """
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._client.models.list()
        except openai.NotFoundError:
            return
        except (openai.OpenAIError, TimeoutError, ValueError) as error:
            raise self._away(error) from error

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()

    def _request(
        self, messages: Sequence[Message], schema: Mapping[str, Any] | None, max_tokens: int | None
    ) -> dict[str, Any]:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        request: dict[str, Any] = {"model": self._model, "messages": turns}
        if max_tokens is not None:
            request["max_completion_tokens" if self._hosted else "max_tokens"] = max_tokens
        if schema is not None:
            shape = {"name": "answer", "schema": dict(schema), "strict": True}
            request["response_format"] = {"type": "json_schema", "json_schema": shape}
            if not self._hosted:
                request["temperature"] = 0
        return request

    def _read(self, answer: object) -> Reply:
        if not isinstance(answer, ChatCompletion) or not answer.choices:
            raise ModelUnavailable(f"{self.where} does not answer like OpenAI: is the address right, with its /v1?")
        choice = answer.choices[0]
        if choice.message.refusal:
            raise ModelAnswerUnusable(f"{self.where} declined: {choice.message.refusal[:300]}")
        if choice.finish_reason == "content_filter":
            raise ModelAnswerUnusable(f"{self.where} cut the answer off: its content filter objects.")
        usage = answer.usage
        return Reply(
            usable(choice.message.content, self.where),
            answer.model or self._model,
            usage.prompt_tokens if usage else None,
            usage.completion_tokens if usage else None,
        )

    async def _pieces(self, messages: Sequence[Message], max_tokens: int | None) -> AsyncGenerator[str, None]:
        deadline = Deadline(self._seconds)
        finished = False
        try:
            request = self._request(messages, None, max_tokens)
            opened = await deadline.wait(self._client.chat.completions.create(**request, stream=True))
            async with opened, aclosing(cast(Any, opened.__aiter__())) as chunks:
                while (chunk := await deadline.wait(anext(chunks, None))) is not None:
                    # Azure begins with a chunk about its filters that has no choices; usage comes in one, too.
                    for choice in cast(ChatCompletionChunk, chunk).choices or ():
                        finished = finished or choice.finish_reason is not None
                        delta = cast(ChoiceDelta | None, choice.delta)  # some servers leave it out of the last chunk
                        if delta is not None and delta.content:
                            yield delta.content
        except (openai.OpenAIError, TimeoutError, ValueError) as error:
            raise self._away(error) from error
        if not finished:
            raise ModelUnavailable(f"{self.where} broke off in the middle of an answer.")

    def _away(self, error: Exception) -> ModelUnavailable:
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            said = f"refuses the key (HTTP {error.status_code})"
        elif isinstance(error, openai.NotFoundError):
            said = f"has no model {self._model!r}, or the address is wrong (HTTP 404)"
        elif isinstance(error, openai.RateLimitError):
            said = "has had too many requests, or its quota is used up (HTTP 429): try again later"
        elif isinstance(error, openai.APIStatusError):
            said = f"answered with an error: {error.message[:300]} (HTTP {error.status_code})"
        elif isinstance(error, openai.APITimeoutError | TimeoutError):
            said = f"took longer than {self._seconds:g} seconds (LLM_TIMEOUT_SECONDS)"
        elif isinstance(error, openai.APIConnectionError):
            said = "does not answer: is it running, and is the address right?"
        elif isinstance(error, ValueError | openai.APIResponseValidationError):
            said = "does not answer like OpenAI: is the address right, with its /v1?"
        else:
            said = f"failed ({type(error).__name__})"
        return ModelUnavailable(f"{self.where} {said}.")


def compatible_model(base_url: str, model: str, limits: Limits, *, api_key: str | None) -> OpenAIModel:
    """A model of any server that speaks OpenAI's interface."""
    # The library insists on a key; servers that want none ignore it.
    client = AsyncOpenAI(base_url=base_url, api_key=api_key or "none", **_connection(base_url, limits))
    where = f"The model server at {shown(base_url)} (LLM_BASE_URL)"
    return OpenAIModel(client, model, limits, where=where, hosted=False)


def openai_model(model: str, limits: Limits, *, api_key: str) -> OpenAIModel:
    """A model of OpenAI's own service."""
    client = AsyncOpenAI(base_url=OPENAI_URL, api_key=api_key, **_connection(OPENAI_URL, limits))
    return OpenAIModel(client, model, limits, where="OpenAI (OPENAI_API_KEY)", hosted=True)


def azure_model(
    endpoint: str, deployment: str, limits: Limits, *, api_key: str, api_version: str, model: str | None
) -> OpenAIModel:
    """A deployment of an Azure OpenAI resource; the library puts its name into the address."""
    client = AsyncAzureOpenAI(
        azure_endpoint=endpoint, api_key=api_key, api_version=api_version, **_connection(endpoint, limits)
    )
    where = f"Azure OpenAI at {shown(endpoint)} (AZURE_OPENAI_ENDPOINT)"
    return OpenAIModel(client, deployment, limits, where=where, hosted=True, shown_as=model)


def _connection(url: str, limits: Limits) -> dict[str, Any]:
    timeout = Timeout(limits.timeout_seconds, connect=CONNECT_SECONDS)
    client = DefaultAsyncHttpxClient(trust_env=not is_this_machine(url), timeout=timeout)
    return {"timeout": timeout, "max_retries": _RETRIES, "http_client": client}
