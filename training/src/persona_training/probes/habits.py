"""Habits of speech, found in what she said: candidates for a battery's markers, each with the share it was seen in.

A habit is kept when it stands in at least `MIN_REPLIES` replies and `MIN_SHARE` of them. Words count only when they are
`DISTINCT` times as frequent in her replies as in what she was told, so that the topic of a stream is no habit.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from persona_training.evaluation.words import without_stage_directions, words

MIN_REPLIES = 3
MIN_SHARE = 0.04
MIN_SHARE_OF_WORD = 0.10
DISTINCT = 4.0
MOST = 12  # the shipped battery has half as many; a longer list is harder to look through than it is worth
MOST_WORDS = 4
_STAGE = re.compile(r"\*\s*([^*\n]{1,60}?)\s*\*")
_OPENER = re.compile(r"^[¡¿\"“«\s]*((?:[^\W\d_]+['’]?[^\W\d_]*\s?){1,2})(?=[,…!.])")
_OTHERS = {
    "laughter": (r"\b(?:(?:ja|je|ji|ha|he|hi){2,}[jh]?|lol|lmao|xd|jsjs\w*)\b", "laughter"),
    "emoji": ("[\U0001f300-\U0001faff☀-➿]", "emoji"),
    "tilde": (r"\w~", "a wave at the end of a word~"),
    "kaomoji": (r"[(\[][^\w\s)]{1,3}[_.ω∀▽‿]+[^\w\s(]{1,3}[)\]]", "kaomoji"),
}


@dataclass(frozen=True)
class Habit:
    """A candidate for a marker.

    Attributes:
        name: unique key.
        title: what people read.
        pattern: regular expression, to be used without regard to case.
        seen: replies it stands in.
        of: replies looked at.
        opening: how a reply begins that has it, such as "*sighs*" or "Well,"; empty where it cannot begin one.
    """

    name: str
    title: str
    pattern: str
    seen: int
    of: int
    opening: str = ""

    @property
    def band(self) -> tuple[float, float]:
        """The share of replies it may be expected in: half the lower end of Wilson's 95 % interval to one and a half times
        the upper one, because the replies were the best she gave and not an even sample of them."""
        low, high = wilson(self.seen, self.of)
        return math.floor(low * 50) / 100, min(1.0, math.ceil(high * 150) / 100)

    def as_marker(self) -> dict[str, Any]:
        """The mapping a battery holds."""
        return {"name": self.name, "title": self.title, "pattern": self.pattern, "band": self.band}


def wilson(hits: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a share (1927), both ends in [0, 1]; (0, 1) for no observation at all."""
    if not of:
        return 0.0, 1.0
    share = hits / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return max(0.0, middle - half), min(1.0, middle + half)


def find_habits(
    replies: Sequence[str], told: Sequence[str], function_words: frozenset[str], names: Iterable[str] = ()
) -> list[Habit]:
    """The habits in her replies: stage directions, openers, words and the rest, the most frequent of each kind first.

    Args:
        replies: hers, each once.
        told: what she answered to, and other texts that are not hers.
        function_words: words that say nothing about anybody.
        names: names that are no habit.
    """
    kept: list[Habit] = [*_stage_directions(replies), *_openers(replies)]
    taken = {word for habit in kept for word in words(habit.title)}
    kept += _words(replies, told, function_words | taken | {part for name in names for part in words(name)})
    others = [_counted(name, title, pattern, replies) for name, (pattern, title) in _OTHERS.items()]
    return [*kept, *(habit for habit in others if _enough(habit))][:MOST]


def _enough(habit: Habit, share: float = MIN_SHARE) -> bool:
    return habit.seen >= MIN_REPLIES and habit.seen >= share * habit.of


def _counted(name: str, title: str, pattern: str, replies: Sequence[str], opening: str = "") -> Habit:
    compiled = re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    seen = sum(compiled.search(reply) is not None for reply in replies)
    return Habit(name, title, pattern, seen, len(replies), opening)


def _stage_directions(replies: Sequence[str]) -> list[Habit]:
    """One habit per first word of a stage direction, and one for all of them together where they are too varied."""
    firsts, literals = Counter[str](), Counter[str]()
    for reply in replies:
        inside = [text for text in _STAGE.findall(reply) if words(text)]
        firsts.update({words(text)[0] for text in inside})
        literals.update({text for text in inside if text})
    found = []
    for first in _by_count(firsts):
        literal = next(text for text in _by_count(literals) if words(text)[0] == first)
        pattern = rf"\*\s*{re.escape(first)}\b[^*\n]{{0,60}}\*"
        habit = _counted(f"stage_{first}", f"*{literal}*", pattern, replies, f"*{literal}*")
        if _enough(habit):
            found.append(habit)
    if found or not literals:
        return found
    most = _by_count(literals)[0]
    any_of = _counted("stage_direction", "any *stage direction*", r"\*[^*\n]{1,60}\*", replies, f"*{most}*")
    return [any_of] if _enough(any_of) else []


def _openers(replies: Sequence[str]) -> list[Habit]:
    spoken = [without_stage_directions(reply) for reply in replies]
    begun = Counter(match[1].strip().lower() for text in spoken if (match := _OPENER.match(text)))
    found = []
    for opener in _by_count(begun):
        pattern = rf"(?:^|[*.!?…]\s*)[¡¿]?{re.escape(opener)}[,…!.]"
        habit = _counted(
            f"opener_{'_'.join(words(opener))}", f"{opener.capitalize()},", pattern, replies, f"{opener.capitalize()},"
        )
        if _enough(habit):
            found.append(habit)
    return found


def _words(replies: Sequence[str], told: Sequence[str], left_out: frozenset[str]) -> list[Habit]:
    def counts(texts: Sequence[str]) -> Counter[str]:
        return Counter(word for text in texts for word in set(words(without_stage_directions(text))))

    hers, theirs = counts(replies), counts(told)

    def distinct(word: str) -> bool:
        background = (theirs[word] + 0.5) / (len(told) + 1)
        return len(word) > 3 and word not in left_out and hers[word] / len(replies) >= DISTINCT * background

    chosen = [word for word in _by_count(hers, distinct) if hers[word] >= MIN_SHARE_OF_WORD * len(replies)]
    habits = [_counted(f"word_{word}", word, rf"\b{re.escape(word)}(?:s|es)?\b", replies) for word in chosen]
    return [habit for habit in habits if _enough(habit, MIN_SHARE_OF_WORD)][:MOST_WORDS]


def _by_count(counts: Counter[str], wanted: Callable[[str], bool] = bool) -> list[str]:
    return [one for one, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if wanted(one)]
