"""Voices without a model, and an Ollama made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from persona_training.errors import PersonaTrainingError
from persona_training.generation import Replier, Sampling
from persona_training.messages import Message

SIGHS = ("*suspiro*", "*pone los ojos en blanco*", "Ay, mortal:", "*bosteza*")
WORDS = ("noche", "luna", "piedra", "torre", "vino", "gato", "puerta", "invierno", "sombra", "risa", "reloj", "viento")


def in_character(asked: str, seed: int) -> str:
    """A reply that depends on the words and the seed alone, never twice the same."""
    digest = sha256(f"{asked} {seed}".encode()).digest()
    words = " y la ".join(WORDS[byte % len(WORDS)] for byte in digest[1:6])
    return f"{SIGHS[digest[0] % len(SIGHS)]} Qué quieres que te diga, mortal, si la {words} no me esperan."


def as_assistant(asked: str, seed: int) -> str:
    """What the base says."""
    word = WORDS[sha256(f"{seed} {asked}".encode()).digest()[0] % len(WORDS)]
    return f"Claro, con gusto. Espero que esta información sobre {word} te ayude. ¿En qué más puedo ayudarte?"


@dataclass
class Speaker:
    """Answers by a rule; falls silent after `breath` conversations."""

    name: str = "she"
    rule: Callable[[str, int], str] = in_character
    breath: int | None = None
    heard: list[tuple[list[Message], int]] = field(default_factory=list)

    def reply(self, conversations: Sequence[Sequence[Message]], sampling: Sampling, seed: int) -> list[str]:
        if self.breath is not None and len(self.heard) + len(conversations) > self.breath:
            raise PersonaTrainingError("The server fell silent.")
        self.heard += [(list(talk), seed + i) for i, talk in enumerate(conversations)]
        return [self.rule(talk[-1]["content"], seed + i) for i, talk in enumerate(conversations)]


@dataclass
class FakeTags:
    """An Ollama whose tags are speakers; `live` is what it says is live."""

    speakers: dict[str, Speaker]
    live: str | None = None
    adapters: dict[str, str] = field(default_factory=dict)

    def serves(self, tag: str) -> bool:
        return tag in self.speakers

    def digest_of(self, tag: str) -> str | None:
        return f"digest of {tag}" if tag in self.speakers else None

    def adapter_of(self, tag: str) -> str | None:
        return self.adapters.get(tag)

    def live_tag(self, besides: str) -> str | None:
        return self.live if self.live != besides else None

    def system_of(self, tag: str) -> str:
        return "Eres Casiopy."

    def replier(self, tag: str) -> Replier:
        return self.speakers[tag]
