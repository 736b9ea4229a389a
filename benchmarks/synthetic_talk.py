"""Made-up exchanges and vectors for filling large databases: a grammar of its own, the same for the same seed.

Words are drawn with Zipf's weights, as in real talk: a few are everywhere, most are rare. Vectors lie around those of real
sentences of the grammar (the centres), so that a question of the grammar has true neighbours and an index has clusters to find,
without embedding every text.
"""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

EXCHANGES_A_SESSION = 20
_BEGINNING = datetime(2024, 1, 1, 18, tzinfo=UTC)
# Of Zipf's law. The shares of the exchanges that say each word of a question add up to 0.74; in the LoCoMo conversations, where
# the speakers' names are half of it, to 0.70 to 0.95. With the classic 1 they would add up to 1.1.
_SKEW = 0.7
# How far a text's vector lies from its centre: with 0.7 the cosine to the centre is about 0.82, as between all-MiniLM-L6-v2's
# vectors of two sentences on one subject.
_NOISE = 0.7


def _listed(text: str) -> tuple[str, ...]:
    return tuple(" ".join(one.split()) for one in text.split(";"))


_PEOPLE = _listed("""
    my sister; my brother; a friend; my neighbour; our teacher; my cousin; the doctor; my boss; a stranger; my
    aunt; the mechanic; my roommate; the baker; an old colleague; the librarian; my trainer
""")
_VERBS = _listed("""
    bought; found; lost; painted; repaired; sold; borrowed; cooked; photographed; planted; wrote about; dreamt
    of; broke; carried; collected; described; forgot; gave away; hid; rented
""")
_THINGS = _listed("""
    bicycle; guitar; cake; garden; novel; camera; boat; lamp; sweater; telescope; puzzle; piano; tent; kite;
    violin; mirror; carpet; aquarium; backpack; candle; clock; drum; fence; globe; hammock; jacket; kettle;
    ladder; magnet; necklace; oven; parcel; quilt; radio; saddle; toolbox
""")
_LOOKS = _listed("""
    red; broken; tiny; expensive; wooden; old; striped; noisy; golden; heavy; silent; borrowed
""")
_PLACES = _listed("""
    at the market; in the attic; by the lake; near the station; at work; in the mountains; on the beach; at the
    museum; in the kitchen; at school; behind the church; on the train; in the park; at the airport
""")
_TIMES = _listed("""
    yesterday; last week; in June; two years ago; on Friday; this morning; last summer; in October; recently;
    the other day
""")
_ANSWERS = _listed("""
    That sounds wonderful, tell me more about; I never liked; You should be careful with; I remember; How much
    was; Mortals and their love of; I would rather not hear of
""")
_SYLLABLES = ("ka", "lo", "mi", "ru", "ten", "sha", "bel", "vor", "ani", "dul", "pex", "gri")
# Names of things and places: 1728 that a speech would use once in a while.
_NAMES = tuple("".join(parts).capitalize() for parts in itertools.product(_SYLLABLES, repeat=3))


@dataclass(frozen=True, slots=True)
class Exchange:
    """What was said, when, in which session of its speaker, around which centre its vector lies."""

    session: int
    when: datetime
    asked: str
    replied: str
    centre: int


class Talk:
    """Everything that is drawn by chance, from one seed."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._weights = {
            words: _zipf(len(words)) for words in (_PEOPLE, _VERBS, _THINGS, _LOOKS, _PLACES, _TIMES, _NAMES)
        }

    def subjects(self, count: int) -> list[tuple[str, str]]:
        """Things somebody did something with: what a centre is about."""
        return [(self._one(_VERBS), self._one(_THINGS)) for _ in range(count)]

    def about(self, subject: tuple[str, str]) -> str:
        """A sentence of the grammar about a subject."""
        verb, thing = subject
        return (
            f"{self._one(_PEOPLE).capitalize()} {verb} the {self._one(_LOOKS)} {thing} of {self._one(_NAMES)} "
            f"{self._one(_PLACES)} {self._one(_TIMES)}."
        )

    def exchanges(self, count: int, subjects: Sequence[tuple[str, str]]) -> Iterator[Exchange]:
        """One viewer's talk, in order: about 20 words and a reply of about 10, sessions a day apart."""
        for number in range(count):
            session, place = divmod(number, EXCHANGES_A_SESSION)
            centre = self._chance.randrange(len(subjects))
            aside = self.about((self._one(_VERBS), self._one(_THINGS)))
            reply = f"{self._chance.choice(_ANSWERS)} the {self._one(_THINGS)} of {self._one(_NAMES)}."
            when = _BEGINNING + timedelta(days=session, minutes=place)
            yield Exchange(session, when, f"{self.about(subjects[centre])} {aside}", reply, centre)

    def questions(self, count: int, subjects: Sequence[tuple[str, str]]) -> list[str]:
        """Questions about the subjects, no two the same."""
        asked: dict[str, None] = {}
        while len(asked) < count:
            verb, thing = self._chance.choice(subjects)
            asked[f"Who {verb} the {self._one(_LOOKS)} {thing} of {self._one(_NAMES)} {self._one(_PLACES)}?"] = None
        return list(asked)

    def _one(self, words: tuple[str, ...]) -> str:
        return self._chance.choices(words, cum_weights=self._weights[words])[0]


def _zipf(count: int) -> list[float]:
    return list(itertools.accumulate(rank**-_SKEW for rank in range(1, count + 1)))


def around(centres: NDArray[np.float32], chosen: Sequence[int], seed: int) -> NDArray[np.float32]:
    """Unit vectors around the chosen rows of `centres` (unit vectors), shape (chosen, dimension)."""
    chance = np.random.default_rng(seed)
    noise = chance.standard_normal((len(chosen), centres.shape[1]), dtype=np.float32)
    noise *= _NOISE / np.linalg.norm(noise, axis=1, keepdims=True)
    vectors = centres[np.asarray(chosen)] + noise
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
