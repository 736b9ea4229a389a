"""A served tag as a voice for the gate: the same path that production takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from persona_training.generation import Sampling
from persona_training.messages import Message, as_dicts
from persona_training.ollama.server import OllamaServer


@dataclass
class OllamaReplier:
    """One tag of one server; replies one conversation after the other."""

    name: str
    server: OllamaServer

    def reply(self, conversations: Sequence[Sequence[Message]], sampling: Sampling, seed: int) -> list[str]:
        """One reply per conversation, in order; conversation i is drawn with seed + i."""
        return [
            self.server.chat(self.name, as_dicts(conversation), sampling, seed + i)
            for i, conversation in enumerate(conversations)
        ]
