"""Which exchanges a dataset may and should learn from: consent first, then rules, quality, probes and repetition.

Exchanges are looked at once, as they stream by, session by session; what may still be kept stays as a few bytes each
(shortlist.py). Every stage says how many it kept and dropped and why, so that the funnel in the manifest adds up.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from memory_service.exports.candidates import Candidate
from memory_service.exports.deduplication import NEAR_DUPLICATE, Mask, dissimilar, unrepeated
from memory_service.exports.lengths import described
from memory_service.exports.probes import Probes
from memory_service.exports.recalled import fingerprint, untraceable
from memory_service.exports.shortlist import Entry, Shortlist
from memory_service.exports.sketching import said, sketch

# A personality dataset keeps replies in character only: below this the style signal means no marker, or a forbidden phrase.
IN_CHARACTER = 0.5


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the funnel."""

    stage: str
    kept: int
    dropped: int
    why: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a dataset asks of an exchange.

    Attributes:
        in_character: also the persona's own style (personality datasets).
        skill: only what belongs to it; None: everything.
        with_memories: rows show the memories they were answered with (episodic datasets).
    """

    min_quality: float
    in_character: bool = False
    skill: str | None = None
    with_memories: bool = False
    probes: Probes = field(default_factory=lambda: Probes(()))


Check = tuple[str, str, Callable[[Candidate], bool]]


class Selection:
    """The funnel while exchanges run through it. `kept` are indexes of the shortlist."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.shortlist = Shortlist()
        self.funnel: list[Stage] = []
        self.kept: NDArray[np.intp] = np.arange(0)
        self.without_traceable_memories = 0
        self._seen = 0
        self._checks = self.checks()
        self._dropped = dict.fromkeys((stage for stage, _, _ in self._checks), 0)
        self._before = array("I")
        self._session, self._position = "", -1

    def checks(self) -> list[Check]:
        """What every exchange has to pass, in order: the stage, why it drops, and what keeps."""
        wanted = self.wanted
        checks: list[Check] = [
            ("consent", "the viewer or the session opted out of training", lambda c: not c.opted_out)
        ]
        if wanted.skill is not None:
            checks.append(("skill", f"not of the skill {wanted.skill!r}", self._of_skill))
        checks += [
            ("reply", "no reply to learn from", lambda c: bool(c.output_text.strip())),
            (
                "rules",
                "broke a hard rule (error, refusal, wrong language …)",
                lambda c: c.judged_by_human or not c.dropped,
            ),
            ("quality", f"quality below {wanted.min_quality:g}", lambda c: c.quality_score >= wanted.min_quality),
        ]
        if wanted.in_character:
            checks.append(("in_character", "not recognisably in the persona's own style", _sounds_right))
        checks.append(
            ("probes", "asks what the character is examined with", lambda c: not wanted.probes.asked_in(c.input_text))
        )
        return checks

    def look_at(self, exchanges: Iterable[Candidate]) -> None:
        """Let exchanges run through the checks. They come session by session, each from its first exchange on."""
        for one in exchanges:
            self._position = self._position + 1 if one.session_id == self._session else 0
            self._session = one.session_id
            self._seen += 1
            if self._passes(one):
                for entry in self.entries(one, self._position):
                    self.shortlist.add(entry)

    def entries(self, one: Candidate, position: int) -> Iterator[Entry]:
        """What of an exchange that passed goes on the shortlist."""
        block = 0
        if self.wanted.with_memories:
            block = fingerprint(one.metadata)
            self.without_traceable_memories += untraceable(one.metadata)
        yield Entry(
            interaction_id=one.interaction_id,
            session_id=one.session_id,
            position=position,
            occurred_at=one.occurred_at,
            quality_score=one.quality_score,
            content_hash=one.content_hash,
            said=said(one.input_text, one.output_text),
            sketch=sketch(one.input_text, one.output_text),
            length=len(one.output_text),
            block=block,
        )

    def close(self) -> None:
        """Write down the stages so far, and drop what repeats itself word for word or nearly. To be called once."""
        left = self._seen
        self.funnel.append(Stage("stored", left, 0, "every exchange of the persona in the period"))
        for stage, why, _ in self._checks:
            left -= self._dropped[stage]
            self.funnel.append(Stage(stage, left, self._dropped[stage], why))
        self.kept = np.arange(len(self.shortlist))
        self.counted_anew()
        columns = self.shortlist.columns()
        exact = np.zeros(len(self.shortlist), dtype=bool)
        exact[self.kept] = unrepeated(columns.said[self.kept], self.best_first())
        self.narrow("exact_duplicates", exact, "the same words again; the best one stays")
        near = np.zeros(len(self.shortlist), dtype=bool)
        near[self.kept] = dissimilar(columns.sketches[self.kept], self.best_first())
        self.narrow("near_duplicates", near, f"{NEAR_DUPLICATE:.0%} alike or more; the best one stays")

    def best_first(self) -> NDArray[np.intp]:
        """Places in `kept`, from the best exchange to the worst."""
        ranked = self.shortlist.columns().best_first()
        stays = np.zeros(len(self.shortlist), dtype=bool)
        stays[self.kept] = True
        return np.searchsorted(self.kept, ranked[stays[ranked]])

    def counted_anew(self) -> None:
        """For datasets whose rows are not exchanges: the place in the funnel from which on something else is counted."""

    def narrow(self, stage: str, stays: Mask, why: str) -> None:
        """Keep the entries for which `stays` (over the whole shortlist) holds, and record the step."""
        kept = self.kept[stays[self.kept]]
        self.funnel.append(Stage(stage, len(kept), len(self.kept) - len(kept), why))
        self.kept = kept

    def lengths(self) -> dict[str, object]:
        """How long replies were before (with consent) and are after the selection, in characters."""
        return described(np.frombuffer(self._before, np.uint32), self.shortlist.columns().length[self.kept])

    def _passes(self, one: Candidate) -> bool:
        for stage, _, keeps in self._checks:
            if not keeps(one):
                self._dropped[stage] += 1
                return False
            if stage == "reply":
                self._before.append(len(one.output_text))
        return True

    def _of_skill(self, one: Candidate) -> bool:
        given = one.metadata.get("skill")
        return one.named or (isinstance(given, str) and given.casefold() == str(self.wanted.skill).casefold())


def _sounds_right(candidate: Candidate) -> bool:
    return candidate.judged_by_human or candidate.persona_style is None or candidate.persona_style >= IN_CHARACTER
