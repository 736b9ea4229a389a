"""Where a drafted probe's references come from: her own best replies, each to the probe it fits, or an answer in her manner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from persona_training.evaluation.battery import Battery
from persona_training.evaluation.facts import says_expected
from persona_training.evaluation.language import spoken_language
from persona_training.evaluation.markers import says_any
from persona_training.evaluation.words import plain, words
from persona_training.personal_data import find_personal_data
from persona_training.probes.habits import Habit

HERS = 0.10  # share of her best replies from which a forbidden phrase is her own
SHORTEST, LONGEST = 3, 60  # words; the shortest reply whose language can be told, and more than any chat reply needs
# Cosine of character 3-5-grams from which two prompts ask for about the same: of the sample month's viewers' lines and the
# shipped template's prompts, pairs above it share their subject.
FITS = 0.30


def paragraphs(reply: str) -> list[str]:
    """The reply itself, or its paragraphs where it is too long to be one reply in a chat, as the openings of cards are."""
    return [reply] if len(words(reply)) <= LONGEST else [one.strip() for one in reply.split("\n") if one.strip()]


def her_own(replies: Sequence[str], shipped: Battery) -> frozenset[str]:
    """The forbidden phrases, as regular expressions, that stand in so many of her best replies that they are hers."""
    forbidden = (*shipped.assistant_tone, *shipped.refusal, *shipped.out_of_character)
    return frozenset(
        pattern.pattern
        for pattern in forbidden
        if sum(says_any(reply, [pattern]) for reply in replies) > HERS * len(replies)
    )


def usable_replies(replies: Sequence[str], language: str, shipped: Battery, own: frozenset[str]) -> list[str]:
    """Her replies without those nobody should be measured by: assistant tone and refusals, unless they are her `own`,
    personal data, another language, too short or too long, and repetitions."""
    unlike_her = [one for one in (*shipped.assistant_tone, *shipped.refusal) if one.pattern not in own]
    kept: dict[str, str] = {}
    for reply in replies:
        told = reply.strip()
        if (
            SHORTEST <= len(words(told)) <= LONGEST
            and not says_any(told, unlike_her)
            and spoken_language(told) in (None, language)
            and not find_personal_data(told)
        ):
            kept.setdefault(plain(told), told)
    return list(kept.values())


@dataclass
class Pool:
    """Her replies with what they answered; every reply is used once before any is used twice.

    Attributes:
        exchanges: (what was said, her reply); the first is empty for what she says unasked.
        habits: how an answer is put in her manner.
    """

    exchanges: Sequence[tuple[str, str]]
    habits: Sequence[Habit]
    _used: dict[int, int] = field(default_factory=dict)
    _answers: int = 0

    def fitting(
        self, prompts: Sequence[str], reject: Sequence[Sequence[str]], each: int
    ) -> list[list[tuple[str, bool]]]:
        """For every prompt up to `each` replies to the most similar things said, and whether they were similar at all."""
        similar = self._similarity(prompts)
        chosen: list[list[tuple[str, bool]]] = []
        for row, bad in zip(similar, reject, strict=True):
            allowed = [i for i, (_, reply) in enumerate(self.exchanges) if says_expected(reply, bad) != 1.0]
            best = sorted(allowed, key=lambda i: (self._used.get(i, 0), -row[i], i))[:each]
            for i in best:
                self._used[i] = self._used.get(i, 0) + 1
            chosen.append([(self.exchanges[i][1], bool(row[i] >= FITS)) for i in best])
        return chosen

    def saying(self, expect: Sequence[str], each: int) -> list[str]:
        """Replies of hers in which one of the expected words stands, the least used first."""
        found = [i for i, (_, reply) in enumerate(self.exchanges) if says_expected(reply, expect) == 1.0]
        best = sorted(found, key=lambda i: (self._used.get(i, 0), i))[:each]
        for i in best:
            self._used[i] = self._used.get(i, 0) + 1
        return [self.exchanges[i][1] for i in best]

    def answer(self, word: str) -> str:
        """The bare answer, opened the way she opens a reply, or closed with a word of hers: "*sighs* Rome."."""
        openings = [habit.opening for habit in self.habits if habit.opening]
        closings = [habit.title for habit in self.habits if habit.name.startswith("word_")]
        said = f"{word[:1].upper()}{word[1:]}"
        self._answers += 1
        if openings:
            opening = openings[self._answers % len(openings)]
            return f"{opening} {word if opening.endswith(',') else said}."
        return f"{said}, {closings[self._answers % len(closings)]}." if closings else f"{said}."

    def _similarity(self, prompts: Sequence[str]) -> NDArray[np.float64]:
        from sklearn.feature_extraction.text import TfidfVectorizer

        asked = [plain(asked) for asked, _ in self.exchanges]
        if not any(asked) or not prompts:
            return np.zeros((len(prompts), len(asked)))
        vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5)).fit([*asked, *map(plain, prompts)])
        product = vectors.transform(map(plain, prompts)) @ vectors.transform(asked).T
        return np.asarray(product.toarray(), dtype=np.float64)
