"""Did the layers arrive? A model with an adapter has to answer otherwise than its base; some versions load one and ignore it.

What Ollama accepts has changed and will again, so nothing is decided by version: a version only says what to expect, the
attempt says what is.
"""

from __future__ import annotations

import dataclasses
from contextlib import suppress

from packaging.version import InvalidVersion, Version

from persona_training.generation import Sampling
from persona_training.ollama.artefacts import Artefacts
from persona_training.ollama.modelfile import create_request
from persona_training.ollama.promotion import Names
from persona_training.ollama.server import OllamaError, OllamaRefusedError, OllamaServer
from persona_training.ollama.smoke import PROMPTS, SEED

# The first release that was reported (generative-computing/mellea, issue 1651) to turn GGUF adapters away.
DOUBTFUL_FROM = Version("0.34.1")
# No chance in the choice of words: whatever differs is the weights' doing.
GREEDY = Sampling(temperature=0.0, top_p=1.0, top_k=1, repetition_penalty=1.0, max_new_tokens=48)


class AdapterRefusedError(OllamaError):
    """This Ollama will not serve layers as an adapter, or serves the base as if there were none. Exit code 4."""


def expected(version: str) -> str:
    """What is known of adapters in that version, for display."""
    try:
        known = Version(version)
    except InvalidVersion:
        return f"version {version!r} is unknown here: trying it"
    if known >= DOUBTFUL_FROM:
        return f"releases from {DOUBTFUL_FROM} on were reported to turn them away: trying it, merged is next"
    return f"releases before {DOUBTFUL_FROM} take a GGUF adapter for every architecture: trying it"


def create_with_adapter(server: OllamaServer, names: Names, artefacts: Artefacts) -> str:
    """Create the candidate from the base's file and the layers' file; returns the last status.

    Raises:
        AdapterRefusedError: Ollama will not, or answers as the base does.
        OllamaError: something else failed.
    """
    body = create_request(names.candidate, artefacts.serving, artefacts.gguf_sha256, artefacts.adapter_sha256)
    try:
        *_, last = server.create(body)
    except OllamaRefusedError as refusal:
        raise AdapterRefusedError(f"This Ollama refuses the adapter ({refusal.message})") from refusal
    if not _differs(server, names, artefacts):
        raise AdapterRefusedError(
            f"This Ollama accepted the adapter and ignores it: {names.candidate} and its base give the same replies to all "
            f"{len(PROMPTS)} prompts, word for word."
        )
    return last


def _differs(server: OllamaServer, names: Names, artefacts: Artefacts) -> bool:
    bare = dataclasses.replace(artefacts.serving, adapter_name="")
    for _ in server.create(create_request(names.bare, bare, artefacts.gguf_sha256)):
        pass
    try:
        for number, prompt in enumerate(PROMPTS):
            asked = [{"role": "user", "content": prompt}]
            replies = {server.chat(tag, asked, GREEDY, SEED + number) for tag in (names.candidate, names.bare)}
            if len(replies) > 1:
                return True
        return False
    finally:
        with suppress(OllamaError):  # it is in nobody's way, and the comparison has its result
            server.delete(names.bare)
