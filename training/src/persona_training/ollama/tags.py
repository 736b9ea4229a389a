"""What the gate asks about Ollama tags."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from persona_training.generation import Replier
from persona_training.ollama.ledger import LIVE, deployed_as
from persona_training.ollama.replier import OllamaReplier
from persona_training.ollama.server import OllamaError, OllamaServer


class OllamaTags:
    """One server's tags, listed once; an absent server serves nothing."""

    def __init__(self, adapters_dir: Path, host: str | None = None) -> None:
        self._adapters_dir = adapters_dir
        self._server = OllamaServer(host)

    @cached_property
    def _digests(self) -> dict[str, str]:
        try:
            return self._server.digests()
        except OllamaError:
            return {}

    def serves(self, tag: str) -> bool:
        """Is Ollama reachable and does it know this tag?"""
        return tag in self._digests

    def digest_of(self, tag: str) -> str | None:
        """What a tag is now: weights, template, system prompt and parameters under one hash; None when not served."""
        return self._digests.get(tag)

    def adapter_of(self, tag: str) -> str | None:
        """The adapter a tag was deployed from, by its digest, so that copies and rollbacks are seen through."""
        digest = self._digests.get(tag)
        entry = None if digest is None else deployed_as(self._adapters_dir, digest)
        return None if entry is None else str(entry["adapter_id"])

    def live_tag(self, besides: str) -> str | None:
        """`<name>:latest` when it is served and another model than `besides`, else `<name>:previous`, else None."""
        own = self._digests.get(besides)
        name = besides.partition(":")[0]
        for tag in (f"{name}:{LIVE}", f"{name}:previous"):
            if self._digests.get(tag, own) != own:
                return tag
        return None

    def system_of(self, tag: str) -> str:
        """The system prompt inside a tag."""
        return self._server.system_of(tag)

    def replier(self, tag: str) -> Replier:
        """The voice of a tag."""
        return OllamaReplier(tag, self._server)
