"""What the service asks of a language model, whichever server it lives on."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from memory_service.errors import ServiceError, Unavailable


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a prompt."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model said. Token counts are the server's own; None where it does not tell."""

    text: str
    model: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class LanguageModel(Protocol):
    """A model on some server. Every method raises ModelUnavailable or ModelAnswerUnusable, nothing of a client library."""

    @property
    def name(self) -> str:
        """Its name on its server, e.g. casiopy:live."""
        ...

    @property
    def context_tokens(self) -> int:
        """Its context window, prompt and answer together; longer prompts lose their beginning without a word."""
        ...

    async def reply(
        self, messages: Sequence[Message], *, schema: Mapping[str, Any] | None = None, max_tokens: int | None = None
    ) -> Reply:
        """The whole answer. `schema` (JSON Schema) constrains it to JSON of that shape, grammar and all."""
        ...

    def stream(self, messages: Sequence[Message], *, max_tokens: int | None = None) -> AsyncIterator[str]:
        """The answer piece by piece."""
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...


class NoModel(Unavailable):
    """No language model is configured."""

    code = "no_model"

    def __init__(self) -> None:
        super().__init__(
            "No language model is configured. Set LLM_MODEL to a model on your Ollama server (OLLAMA_HOST), or LLM_BASE_URL "
            "and LLM_MODEL to an OpenAI-compatible one, or OPENAI_API_KEY, and start the service again."
        )


class ModelUnavailable(Unavailable):
    """The model's server does not answer, or answers with an error."""

    code = "model_unavailable"


class ModelAnswerUnusable(ServiceError):
    """The model answered, and its answer is empty or not what was asked for."""

    status = 502
    code = "model_answer_unusable"
