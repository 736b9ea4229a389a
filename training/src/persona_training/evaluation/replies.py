"""Ask one model, the same way for every model: the same conversations, sampling and seeds, one sample of everything a round."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from persona_training.evaluation.battery import Dialogue, Probe
from persona_training.generation import Replier, Sampling
from persona_training.messages import Message

# How the persona is served and therefore how she is judged; deploy writes the same values into the Modelfile. Close to
# temperature 1 a model speaks in the proportions it was taught: the tiny layer 1 put 4.3 markers into a reply at 0.7, 2.7 at
# 0.9, and its training replies hold 2.1. A penalty of 1.1 is Ollama's own default. 64 tokens are about 45 Spanish words, the
# longest reply that is still hers.
SERVED = Sampling(temperature=0.9, top_p=0.9, top_k=40, repetition_penalty=1.1, max_new_tokens=64)
# Conversations asked in one go: the width of a local batch, and how much at most is lost when a server dies.
AT_ONCE = 32
# Seeds of two rounds, and of a round's probes and dialogues, never meet: no battery has that many probes or turns.
ROUND_SEEDS, DIALOGUE_SEEDS, TURN_SEEDS = 100_000, 50_000, 1_000
_UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")


def ask_probes(
    replier: Replier,
    probes: Sequence[Probe],
    *,
    sample: int,
    seed: int,
    system_prompt: str = "",
    sampling: Sampling = SERVED,
) -> Iterator[list[str]]:
    """One reply to every probe, each in a conversation of its own, a portion of at most `AT_ONCE` at a time.

    Args:
        replier: the model.
        probes: what is asked, in order.
        sample: number of the round, from 0; it shifts the seed, so that a round is the same whichever rounds went before.
        seed: the same for every model of a comparison.
        system_prompt: told first; empty when the model carries its own (an Ollama tag does).
        sampling: temperature and limits.
    """
    first = seed + sample * ROUND_SEEDS
    for start in range(0, len(probes), AT_ONCE):
        portion = probes[start : start + AT_ONCE]
        conversations = [[*_told(system_prompt), Message(role="user", content=probe.prompt)] for probe in portion]
        yield [storable(said) for said in replier.reply(conversations, sampling, first + start)]


def hold_dialogues(
    replier: Replier,
    dialogues: Sequence[Dialogue],
    *,
    sample: int,
    seed: int,
    system_prompt: str = "",
    sampling: Sampling = SERVED,
) -> Iterator[list[str]]:
    """Hold all dialogues side by side: for every turn one answer per dialogue that has such a turn, in the dialogues' order.

    She hears the whole conversation so far. Where it outgrows her context, the oldest turns are dropped by the replier or the
    server, exactly as they are in production.

    Args:
        replier, sample, seed, system_prompt, sampling: as for `ask_probes`.
        dialogues: the viewers' lines.
    """
    first = seed + sample * ROUND_SEEDS + DIALOGUE_SEEDS
    talks = [_told(system_prompt) for _ in dialogues]
    for turn in range(max((len(dialogue.turns) for dialogue in dialogues), default=0)):
        open_talks = [
            (talk, dialogue) for talk, dialogue in zip(talks, dialogues, strict=True) if turn < len(dialogue.turns)
        ]
        for talk, dialogue in open_talks:
            talk.append(Message(role="user", content=dialogue.turns[turn]))
        asked = [list(talk) for talk, _ in open_talks]
        answers = [storable(said) for said in replier.reply(asked, sampling, first + turn * TURN_SEEDS)]
        yield answers
        for (talk, _), answer in zip(open_talks, answers, strict=True):
            talk.append(Message(role="assistant", content=answer))


def by_dialogue(dialogues: Sequence[Dialogue], turns: Iterable[Sequence[str]]) -> list[list[str]]:
    """What `hold_dialogues` yields turn by turn, put together dialogue by dialogue."""
    held: list[list[str]] = [[] for _ in dialogues]
    for number, answers in enumerate(turns):
        going_on = [own for own, dialogue in zip(held, dialogues, strict=True) if number < len(dialogue.turns)]
        for own, answer in zip(going_on, answers, strict=True):
            own.append(answer)
    return held


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
    """`samples` rounds of `ask_probes` in one go, put together probe by probe."""
    started = time.monotonic()
    rounds = []
    for sample in range(samples):
        portions = ask_probes(replier, probes, sample=sample, seed=seed, system_prompt=system_prompt, sampling=sampling)
        rounds.append([reply for portion in portions for reply in portion])
    replies = [list(samples_of_one) for samples_of_one in zip(*rounds, strict=True)]
    return Drawn(name=replier.name, replies=replies, seconds=time.monotonic() - started)


def _told(system_prompt: str) -> list[Message]:
    return [Message(role="system", content=system_prompt)] if system_prompt else []


def storable(reply: str) -> str:
    """The reply with U+FFFD for what cannot be kept.

    A byte-level model can say the NUL character, which neither JSON in PostgreSQL nor XML can hold, and half an emoji, which
    no file in UTF-8 can.
    """
    return _UNSTORABLE.sub("\ufffd", reply)
