"""Does it speak? A few questions through the very path production takes, before anybody else can hear it."""

from __future__ import annotations

from dataclasses import dataclass

from persona_training.evaluation.hard_rules import TEMPLATE_TOKENS, is_looping
from persona_training.evaluation.words import words
from persona_training.generation import Sampling
from persona_training.ollama.server import OllamaServer

PROMPTS = ("Hola, ¿quién eres?", "¿Qué tal llevas el día?", "Cuéntame algo.")
SEED = 7


@dataclass(frozen=True)
class Smoke:
    """What was asked and answered, and every fault found; no faults means it may go live."""

    replies: list[tuple[str, str]]
    faults: list[str]

    def as_dict(self) -> dict[str, object]:
        """As deployments record it."""
        return {
            "ok": not self.faults,
            "faults": self.faults,
            "replies": [{"prompt": prompt, "reply": reply} for prompt, reply in self.replies],
        }


def smoke_test(server: OllamaServer, tag: str, sampling: Sampling) -> Smoke:
    """Ask the three prompts with explicit sampling and look for silence, template tokens and loops."""
    replies = [
        (prompt, server.chat(tag, [{"role": "user", "content": prompt}], sampling, SEED + i))
        for i, prompt in enumerate(PROMPTS)
    ]
    return Smoke(replies, [fault for prompt, reply in replies for fault in _faults(prompt, reply)])


def _faults(prompt: str, reply: str) -> list[str]:
    if not words(reply):
        return [f"no words in the reply to {prompt!r}"]
    token = TEMPLATE_TOKENS.search(reply)
    faults = [f"template token {token[0].strip()!r} in the reply to {prompt!r}"] if token else []
    return [*faults, f"the reply to {prompt!r} repeats itself"] if is_looping(reply) else faults
