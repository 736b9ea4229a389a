"""Any server that speaks the chat-completions interface (vLLM, llama.cpp, LM Studio) as a voice for the gate.

Nothing but the named address is talked to. Sampling values go out under every name these servers use for them; each server
ignores the names it does not know: `top_k` all three, `repetition_penalty` vLLM, `repeat_penalty` llama.cpp and LM Studio.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from persona_training.errors import PersonaTrainingError
from persona_training.generation import Sampling
from persona_training.messages import Message, as_dicts

CONNECT_SECONDS = 3.0
SILENCE_SECONDS = 300.0  # as for Ollama: the first request may have to load the model
AT_ONCE = 4  # llama.cpp serves four slots by default and vLLM batches what arrives together; more would wait in line
# What servers say when a conversation is too long: vLLM and OpenAI, llama.cpp, LM Studio.
TOO_LONG = ("context_length_exceeded", "maximum context length", "exceed_context_size", "context length")


class OpenAIServerError(PersonaTrainingError):
    """The server is away, refuses, or does not answer like one; the message says what to do."""


class ConversationTooLongError(OpenAIServerError):
    """The conversation does not fit the server's context."""


def base_url(given: str | None = None, environ: Mapping[str, str] | None = None) -> str:
    """The address to talk to: the one given, else OPENAI_BASE_URL; `/v1` is added where there is no path.

    Raises:
        OpenAIServerError: neither is there, or it is no address. Nothing is guessed: the hosted default of other clients would
            send her words to a stranger.
    """
    found = given or (os.environ if environ is None else environ).get("OPENAI_BASE_URL", "")
    if not found.strip():
        raise OpenAIServerError(
            "No server to ask: give --host, e.g. --host http://127.0.0.1:8000/v1, or set OPENAI_BASE_URL."
        )
    try:
        url = httpx.URL(found if "://" in found else f"http://{found}")
    except httpx.InvalidURL as error:
        raise OpenAIServerError(f"{found!r} is no address ({error}). Give http://host:port/v1.") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise OpenAIServerError(f"{found!r} is no address of a server. Give http://host:port/v1.")
    return str(url if url.path.strip("/") else url.copy_with(path="/v1")).rstrip("/")


class OpenAIServer:
    """One server; methods raise OpenAIServerError for everything that goes wrong."""

    def __init__(
        self,
        host: str | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        surroundings = os.environ if environ is None else environ
        self.url = base_url(host, surroundings)
        key = surroundings.get("OPENAI_API_KEY", "").strip()
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
            trust_env=False,  # nothing leaves for a proxy that somebody else chose
            transport=transport,
        )

    def models(self) -> list[str]:
        """The names it serves."""
        listed = self._ask("GET", "/models", "list the models").get("data")
        if not isinstance(listed, list) or not all(isinstance(model, dict) for model in listed):
            raise OpenAIServerError(f"{self.url} does not list its models like a chat-completions server.")
        return [str(model.get("id", "")) for model in listed]

    def chat(self, model: str, messages: Sequence[Message], sampling: Sampling, seed: int) -> str:
        """One reply."""
        body = {"model": model, "messages": as_dicts(messages), "stream": False, **_parameters(sampling, seed)}
        answer = self._ask("POST", "/chat/completions", f"chat with {model}", body)
        try:
            content = answer["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError) as error:
            raise OpenAIServerError(
                f"Could not chat with {model}: {self.url} does not answer like a chat-completions server."
            ) from error
        return self._words(model, content).strip()

    def _words(self, model: str, content: object) -> str:
        """The text of a message, or of the parts of a list; null stands for silence, e.g. after nothing but thinking."""
        if content is None:
            return ""
        if isinstance(content, list) and all(isinstance(part, dict) for part in content):
            texts = [part.get("text") for part in content if part.get("type", "text") == "text"]
            content = "".join(texts) if texts and all(isinstance(text, str) for text in texts) else content
        if not isinstance(content, str):
            raise OpenAIServerError(
                f"Could not chat with {model}: {self.url} gives {str(content)[:60]!r} where the words of a reply belong."
            )
        return content

    def _ask(self, method: str, path: str, step: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            response = self._http.request(method, f"{self.url}{path}", json=body)
        except httpx.HTTPError as error:
            raise self._failed(step, error) from error
        if response.is_error:
            raise self._refused(step, response)
        try:
            value = response.json()
        except (ValueError, RecursionError) as error:  # the second: thousands of brackets
            raise OpenAIServerError(
                f"Could not {step}: {self.url} does not answer in JSON. Is the /v1 right?"
            ) from error
        if not isinstance(value, dict):
            raise OpenAIServerError(f"Could not {step}: {self.url} does not answer like a chat-completions server.")
        return value

    def _failed(self, step: str, error: httpx.HTTPError) -> OpenAIServerError:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return OpenAIServerError(
                f"Nobody answers at {self.url}. Start the server, or correct --host or OPENAI_BASE_URL."
            )
        if isinstance(error, httpx.TimeoutException):
            return OpenAIServerError(f"Could not {step}: {self.url} said nothing for too long.")
        return OpenAIServerError(f"Could not {step}: the connection to {self.url} broke ({type(error).__name__}).")

    def _refused(self, step: str, response: httpx.Response) -> OpenAIServerError:
        said, code = _said(response), response.status_code
        if code in (400, 413, 422) and any(words in said.lower() for words in TOO_LONG):
            return ConversationTooLongError(
                f"Could not {step}: the conversation does not fit the context ({said}). Serve it with a larger one."
            )
        what_to_do = {
            401: " Set OPENAI_API_KEY to the key it expects.",
            403: " OPENAI_API_KEY is not allowed to do this.",
            404: f" It may serve that under another name or path: look at {self.url}/models.",
            429: " It is busy or over its limit; run the gate again later, what was drawn is kept.",
            503: " It may still be loading the model; run the gate again in a moment.",
        }.get(code, "")
        return OpenAIServerError(f"Could not {step}: {said} (HTTP {code}).{what_to_do}")


class OpenAIReplier:
    """One model of one server; conversation i is drawn with seed + i, a few of them at once."""

    def __init__(self, name: str, server: OpenAIServer) -> None:
        self.name = name
        self._server = server

    def reply(self, conversations: Sequence[Sequence[Message]], sampling: Sampling, seed: int) -> list[str]:
        """One reply per conversation, in order."""
        with ThreadPoolExecutor(max_workers=AT_ONCE) as crew:
            asked = [crew.submit(self._one, talk, sampling, seed + i) for i, talk in enumerate(conversations)]
            try:
                return [each.result() for each in asked]
            except BaseException:
                # Also for Ctrl-C: what has not been asked yet is not asked any more.
                crew.shutdown(wait=False, cancel_futures=True)
                raise

    def _one(self, conversation: Sequence[Message], sampling: Sampling, seed: int) -> str:
        """The oldest turns go first where the context is full, as the other serving paths do it by themselves."""
        messages = list(conversation)
        while True:
            try:
                return self._server.chat(self.name, messages, sampling, seed)
            except ConversationTooLongError:
                oldest = 1 if messages[0]["role"] == "system" else 0
                if oldest + 1 >= len(messages):
                    raise
                del messages[oldest]


def _parameters(sampling: Sampling, seed: int) -> dict[str, float | int]:
    return {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k
        or -1,  # "all" is 0 here, anything below 1 in llama.cpp, and -1 in every version of vLLM
        "repetition_penalty": sampling.repetition_penalty,
        "repeat_penalty": sampling.repetition_penalty,
        "max_tokens": sampling.max_new_tokens,
        "seed": seed,
    }


def _said(response: httpx.Response) -> str:
    """The reason in an error's body: {"error": {"message"}} of OpenAI and llama.cpp, {"message"} or {"detail"} of others."""
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return response.text.strip()[:300] or "no reason given"
    error = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(error, dict):
        error = error.get("message") or error.get("detail") or error.get("code") or error
    return str(error)[:300]
