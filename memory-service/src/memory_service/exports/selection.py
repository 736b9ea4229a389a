"""Which exchanges a dataset may and should learn from: consent first, then rules, quality and repetition.

Every stage says how many it kept and dropped and why, so that the funnel in the manifest adds up exchange by exchange.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from memory_service.scoring.text import grams, jaccard, words

# Two exchanges this alike (input and reply, by 5-letter grams) teach the same thing. At 0.8 a changed name or a dropped
# accent still counts as the same; at 0.9 those passed, at 0.7 different answers to one question were lost.
NEAR_DUPLICATE = 0.8
# A personality dataset keeps replies in character only: below this the style signal means no marker, or a forbidden phrase.
IN_CHARACTER = 0.5


@dataclass(frozen=True, slots=True)
class Candidate:
    """One stored exchange with all that decides about it."""

    interaction_id: str
    session_id: str
    user_id: str
    input_text: str
    output_text: str
    occurred_at: datetime
    quality_score: float
    content_hash: str
    opted_out: bool = False
    dropped: bool = False
    judged_by_human: bool = False
    persona_style: float | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the funnel."""

    stage: str
    kept: int
    dropped: int
    why: str


@dataclass(slots=True)
class Selection:
    """What is left, oldest first, and how it came to that."""

    kept: list[Candidate]
    funnel: list[Stage] = field(default_factory=list)

    def narrow(self, stage: str, keep: Callable[[Candidate], bool], why: str) -> None:
        """Keep the exchanges for which `keep` holds and record the step."""
        self.replace(stage, [candidate for candidate in self.kept if keep(candidate)], why)

    def replace(self, stage: str, kept: list[Candidate], why: str) -> None:
        """Go on with `kept` and record the step."""
        self.funnel.append(Stage(stage, len(kept), len(self.kept) - len(kept), why))
        self.kept = kept


def select(candidates: Iterable[Candidate], *, min_quality: float, in_character: bool) -> Selection:
    """Run the funnel. `in_character` (personality datasets) also asks for the persona's own style.

    A human's score stands above the rules: what people rated well is not dropped by a phrase list.
    """
    everything = sorted(candidates, key=lambda c: (c.occurred_at, c.interaction_id))
    selection = Selection(
        everything, [Stage("stored", len(everything), 0, "every exchange of the persona in the period")]
    )
    selection.narrow("consent", lambda c: not c.opted_out, "the viewer or the session opted out of training")
    selection.narrow("reply", lambda c: bool(c.output_text.strip()), "no reply to learn from")
    selection.narrow(
        "rules", lambda c: c.judged_by_human or not c.dropped, "broke a hard rule (error, refusal, wrong language …)"
    )
    selection.narrow("quality", lambda c: c.quality_score >= min_quality, f"quality below {min_quality:g}")
    if in_character:
        selection.narrow("in_character", _sounds_right, "not recognisably in the persona's own style")
    selection.replace("exact_duplicates", _unrepeated(selection.kept), "the same words again; the best one stays")
    selection.replace(
        "near_duplicates", _dissimilar(selection.kept), f"{NEAR_DUPLICATE:.0%} alike or more; the best one stays"
    )
    return selection


def _sounds_right(candidate: Candidate) -> bool:
    return candidate.judged_by_human or candidate.persona_style is None or candidate.persona_style >= IN_CHARACTER


def _best_first(candidates: Sequence[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda c: (-c.quality_score, c.occurred_at, c.interaction_id))


def _in_time(candidates: Iterable[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda c: (c.occurred_at, c.interaction_id))


def _unrepeated(candidates: Sequence[Candidate]) -> list[Candidate]:
    best: dict[bytes, Candidate] = {}
    for candidate in _best_first(candidates):
        said = " ".join(words(candidate.input_text)) + "\n" + " ".join(words(candidate.output_text))
        best.setdefault(hashlib.sha256(said.encode()).digest(), candidate)
    return _in_time(best.values())


def _alike(left: frozenset[str], right: frozenset[str]) -> bool:
    # Sets of too different sizes cannot be alike; asking that first saves most comparisons.
    small, large = sorted((len(left), len(right)))
    return small >= NEAR_DUPLICATE * large and jaccard(left, right) >= NEAR_DUPLICATE


def _dissimilar(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Greedy from the best down; exact, because two sets this alike must share one of their few rarest grams."""
    sets = {c.interaction_id: grams(f"{c.input_text}\n{c.output_text}", 5) for c in candidates}
    frequency = Counter(gram for one in sets.values() for gram in one)
    by_gram: dict[str, list[str]] = {}
    kept: list[Candidate] = []
    for candidate in _best_first(candidates):
        mine = sets[candidate.interaction_id]
        rarest = sorted(mine, key=lambda gram: (frequency[gram], gram))[
            : len(mine) - int(NEAR_DUPLICATE * len(mine)) + 1
        ]
        nearby = {other for gram in rarest for other in by_gram.get(gram, ())}
        if any(_alike(mine, sets[other]) for other in nearby):
            continue
        kept.append(candidate)
        for gram in rarest:
            by_gram.setdefault(gram, []).append(candidate.interaction_id)
    return _in_time(kept)
