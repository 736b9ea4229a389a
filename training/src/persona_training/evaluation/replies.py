"""Ask every probe of one model, the same way for every model: the same conversations, sampling and seed."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from persona_training.evaluation.battery import Probe
from persona_training.generation import Replier, Sampling
from persona_training.messages import Message

# How the persona is served and therefore how she is judged; deploy writes the same values into the Modelfile. Close to
# temperature 1 a model speaks in the proportions it was taught: the tiny layer 1 put 4.3 markers into a reply at 0.7, 2.7 at
# 0.9, and its training replies hold 2.1. A penalty of 1.1 is Ollama's own default. 64 tokens are about 45 Spanish words, the
# longest reply that is still hers.
SERVED = Sampling(temperature=0.9, top_p=0.9, top_k=40, repetition_penalty=1.1, max_new_tokens=64)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")


@dataclass(frozen=True)
class Drawn:
    """What one model replied: prompts x samples, and the seconds it took."""

    name: str
    replies: list[list[str]]
    seconds: float


def draw(
    replier: Replier,
    probes: Sequence[Probe],
    *,
    samples: int,
    seed: int,
    system_prompt: str = "",
    sampling: Sampling = SERVED,
) -> Drawn:
    """`samples` replies to every probe, each in a conversation of its own.

    Args:
        replier: the model.
        probes: what is asked.
        samples: replies per probe, at least 1.
        seed: the same for every model of a comparison.
        system_prompt: told first; empty when the model carries its own (an Ollama tag does).
        sampling: temperature and limits.
    """
    started = time.monotonic()
    conversations = [_conversation(probe, system_prompt) for probe in probes for _ in range(samples)]
    # A byte-level model can say the NUL character, which neither JSON stores in PostgreSQL nor XML can hold.
    flat = [_CONTROL.sub("\ufffd", reply) for reply in replier.reply(conversations, sampling, seed)]
    replies = [flat[i * samples : (i + 1) * samples] for i in range(len(probes))]
    return Drawn(name=replier.name, replies=replies, seconds=time.monotonic() - started)


def _conversation(probe: Probe, system_prompt: str) -> list[Message]:
    told = [Message(role="system", content=system_prompt)] if system_prompt else []
    return [*told, Message(role="user", content=probe.prompt)]
