"""From the name of a model to its voice, by the same way the gate takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from persona_training.errors import PersonaTrainingError
from persona_training.evaluation.cast import Cast, her_replies
from persona_training.evaluation.subjects import Backend, UnknownModelError
from persona_training.generation import Replier

if TYPE_CHECKING:
    from persona_training.display import Display
    from persona_training.evaluation.request import Request
    from persona_training.settings import Settings

NOWHERE = (
    "Start Ollama (`ollama serve`) and look at `ollama list`, or name an adapter in LORA_ADAPTERS_DIR; run pytest in the "
    "project, or set that variable."
)


@dataclass(frozen=True)
class Speaker:
    """A voice and what it has to be told.

    Attributes:
        replier: answers conversations.
        told: system prompt in front of each; empty where the voice carries its own.
        training_replies: hers in the datasets she learned from, as far as they lie here.
        facts: what was chosen and why, one sentence each.
    """

    replier: Replier
    told: str = ""
    training_replies: Sequence[str] = ()
    facts: Sequence[str] = ()


def find_speaker(model: str, *, backend: Backend | None, system_prompt: str | None, seed: int) -> Speaker:
    """The voice of an adapter, a join, a tag or a model of a chat-completions server.

    Raises:
        PersonaTrainingError: there is none, or nobody serves it; the message says what to do.
    """
    from rich.console import Console

    from persona_training.display import Display
    from persona_training.evaluation.request import NONE, Request
    from persona_training.settings import Settings

    prompt = Path(system_prompt) if system_prompt else None
    request = Request(
        model=model, baseline=NONE, golden=NONE, backend=backend, system_prompt=prompt, seed=seed, samples=1
    )
    said = StringIO()
    display = Display(Console(file=said, width=200, highlight=False))
    settings = Settings.from_env()
    cast = _cast(request, settings, display)
    voice = cast.voices["candidate"]
    if voice.speak is not None:
        replier = voice.speak()
    else:
        from persona_training.evaluation.loading import Models

        if voice.weights is None:
            raise PersonaTrainingError(f"{model} has neither weights here nor a server that speaks for it.")
        replier = Models(display).of(voice.weights)
    facts = [line.strip() for line in said.getvalue().splitlines() if line.strip()]
    return Speaker(replier, cast.told, her_replies(cast.datasets), facts)


def _cast(request: Request, settings: Settings, display: Display) -> Cast:
    """Everything the gate would know of that model, without anybody to compare it with."""
    from persona_training.evaluation.gate import find_cast
    from persona_training.evaluation.openai_replier import OpenAIServer
    from persona_training.evaluation.service import MemoryService
    from persona_training.ollama.tags import OllamaTags

    server = OpenAIServer() if request.backend == "openai" else None
    tags = OllamaTags(settings.adapters_dir)
    try:
        return find_cast(request, settings, tags, server, MemoryService(settings), display)
    except UnknownModelError as error:
        raise UnknownModelError(f"{error.message} {NOWHERE}") from error
