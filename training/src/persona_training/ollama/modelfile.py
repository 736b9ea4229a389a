"""What Ollama is told about a model besides its weights: as a Modelfile for people, as a request body for the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from jinja2 import TemplateError as JinjaError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from persona_training.errors import PersonaTrainingError
from persona_training.generation import Sampling
from persona_training.ollama.server import options_of

# ChatML in Ollama's own template language. The system prompt of the Modelfile arrives as the first of .Messages.
CHATML = """{{- range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
MAX_REPLY = 256  # tokens; a safety net against a reply that never ends, four times the longest that is still hers
MAX_CONTEXT = 8192  # tokens; Ollama reserves memory for all of it, and a chat with recalled memories needs about 3,000


class Form(StrEnum):
    """How the layers reach Ollama: merged into the base (every version takes it), or as an adapter beside it (some do)."""

    MERGED = "merged"
    ADAPTER = "adapter"


class ModelfileError(PersonaTrainingError):
    """A text cannot stand in a Modelfile."""


@dataclass(frozen=True)
class Serving:
    """How a model is to be served.

    Attributes:
        gguf_name: file name of the weights, beside the Modelfile, or their full path.
        system: system prompt; empty for none.
        template: Ollama template; empty leaves the chat template inside the GGUF to be used.
        parameters: Ollama's names; `stop` is a list.
        adapter_name: file name of a LoRA over those weights, beside the Modelfile; empty where they are merged.
    """

    gguf_name: str
    system: str
    template: str
    parameters: Mapping[str, float | int | Sequence[str]]
    adapter_name: str = ""


def serving_parameters(
    sampling: Sampling, stops: Sequence[str], context_length: int
) -> dict[str, float | int | list[str]]:
    """Sampling, stop texts and context length under Ollama's names."""
    return {
        **options_of(sampling),
        "num_predict": MAX_REPLY,
        "num_ctx": min(context_length, MAX_CONTEXT),
        "stop": list(stops),
    }


def ollama_template(chat_template: str) -> str:
    """ChatML in Ollama's template language when the model's own template is ChatML, else "" (the GGUF's is used)."""
    messages = [
        {"role": "system", "content": "A b."},
        {"role": "user", "content": "C"},
        {"role": "assistant", "content": "*D*"},
        {"role": "user", "content": "E?"},
    ]
    expected = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    try:
        rendered = environment.from_string(chat_template).render(messages=messages, add_generation_prompt=True)
    except (JinjaError, TypeError):
        return ""
    return CHATML if rendered == f"{expected}<|im_start|>assistant\n" else ""


def render_modelfile(serving: Serving) -> str:
    """The Modelfile, for `ollama create TAG -f Modelfile`.

    Raises:
        ModelfileError: the system prompt holds three double quotes, which end a text in a Modelfile.
    """
    lines = [f"FROM {serving.gguf_name}" if "/" in serving.gguf_name else f"FROM ./{serving.gguf_name}"]
    if serving.adapter_name:
        lines.append(f"ADAPTER ./{serving.adapter_name}")
    if serving.template:
        lines.append(f'TEMPLATE """{_quoted(serving.template)}"""')
    if serving.system:
        lines.append(f'SYSTEM """{_quoted(serving.system)}"""')
    for name, value in serving.parameters.items():
        values = value if isinstance(value, Sequence) else [value]
        lines += [
            f'PARAMETER {name} "{item}"' if isinstance(item, str) else f"PARAMETER {name} {item}" for item in values
        ]
    return "\n".join(lines) + "\n"


def create_request(tag: str, serving: Serving, gguf_sha256: str, adapter_sha256: str | None = None) -> dict[str, Any]:
    """The same as a body for POST /api/create, without the adapter where no digest of one is given.

    It names files only, never `from`: a name that is not served here would be pulled from Ollama's registry.
    """
    body: dict[str, Any] = {
        "model": tag,
        "files": {Path(serving.gguf_name).name: f"sha256:{gguf_sha256}"},
        "parameters": dict(serving.parameters),
    }
    if adapter_sha256 is not None:
        body["adapters"] = {serving.adapter_name: f"sha256:{adapter_sha256}"}
    if serving.template:
        body["template"] = serving.template
    if serving.system:
        body["system"] = serving.system
    return body


def _quoted(text: str) -> str:
    if '"""' in text:
        raise ModelfileError(
            'The system prompt holds """, which ends a text in a Modelfile. Change that core memory entry.'
        )
    return text + "\n" if text.endswith('"') else text
