"""What people preferred: replies they corrected, swiped away or voted on, as pairs (dpo) or judged replies (kto). Pure.

An exchange has one stored reply (the original). `corrected:<id>` is what a person said in that feedback should have been
said, `discarded:<id>:<n>` the n-th reply swiped away for the original.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from memory_service.exports.candidates import Candidate
from memory_service.exports.selection import Check, Selection, Stage, Wanted
from memory_service.exports.shortlist import Entry, Use
from memory_service.exports.sketching import said, sketch

CHOSEN, REJECTED = "chosen", "rejected"
GOOD, BAD = "original+", "original-"
# Of the ratings 1 to 5, what counts as a vote: the mean of 3 says nothing.
_UP, _DOWN = 4.0, 2.0


@dataclass(frozen=True, slots=True)
class Judged:
    """A reply and what people thought of it."""

    evidence: str
    text: str
    good: bool


def vote(one: Candidate) -> bool | None:
    """Whether the original was voted up (true) or down (false); None without a clear vote."""
    ratings = [opinion.rating for opinion in one.opinions if opinion.rating is not None]
    if not ratings:
        return None
    mean = sum(ratings) / len(ratings)
    return True if mean >= _UP else False if mean <= _DOWN else None


def judged(one: Candidate) -> list[Judged]:
    """Every reply of the exchange that people judged, each text once, the original first.

    Who corrects a reply without rating it found it wanting; who swiped others away for it and left it as it is kept it.
    """
    original = _of_original(one)
    found = [] if original is None else [Judged(GOOD if original else BAD, one.output_text, original)]
    for opinion in one.opinions:
        if opinion.corrected is not None:
            found.append(Judged(f"corrected:{opinion.id}", opinion.corrected, True))
        found += [
            Judged(f"discarded:{opinion.id}:{number}", text, False) for number, text in enumerate(opinion.discarded)
        ]
    stored = {said(one.output_text)}
    once: dict[bytes, Judged] = {}
    for reply in found:
        known = said(reply.text)
        if reply.text.strip() and (reply.evidence in (GOOD, BAD) or known not in stored):
            once.setdefault(known, reply)
    return list(once.values())


def pairs(one: Candidate) -> list[tuple[str, str, str]]:
    """(evidence, chosen, rejected) of the exchange alone: what was corrected, and what was swiped away."""
    original = one.output_text
    found = []
    for reply in judged(one):
        if reply.evidence.startswith("corrected:") and original.strip():
            found.append((reply.evidence, reply.text, original))
        if reply.evidence.startswith("discarded:") and original.strip() and _of_original(one) is not False:
            found.append((reply.evidence, original, reply.text))
    return found


def resolved(one: Candidate, evidence: str) -> Judged:
    """The reply that `evidence` names.

    Raises:
        KeyError: it is not there any more.
    """
    if evidence in (CHOSEN, REJECTED):
        return Judged(evidence, one.output_text, evidence == CHOSEN)
    for reply in judged(one):
        if reply.evidence == evidence:
            return reply
    raise KeyError(evidence)


def _of_original(one: Candidate) -> bool | None:
    voted = vote(one)
    if voted is not None or any(opinion.rating is not None for opinion in one.opinions):
        return voted
    if any(opinion.corrected is not None for opinion in one.opinions):
        return False
    return True if any(opinion.discarded for opinion in one.opinions) else None


@dataclass(frozen=True, slots=True)
class _Voted:
    """A reply with a clear vote, and who else was asked the same (`asked`)."""

    asked: bytes
    up: bool
    entry: Entry


class PreferenceSelection(Selection):
    """The funnel of a preference dataset. `paired`: dpo, else kto."""

    def __init__(self, wanted: Wanted, *, paired: bool) -> None:
        self._paired = paired
        self._weak = 0
        self._kinds: dict[str, int] = defaultdict(int)
        self._voted: list[_Voted] = []
        self.links: list[tuple[str, str]] = []
        super().__init__(wanted)

    def checks(self) -> list[Check]:
        """Consent, somebody's word on the reply, and no probe; rules and quality are asked of what was kept alone."""
        kept = {"consent", "probes"}
        checks = [check for check in super().checks() if check[0] in kept]
        checks.insert(1, ("judged", "nobody edited it, swiped for it or voted on it", lambda c: bool(c.opinions)))
        return checks

    def entries(self, one: Candidate, position: int) -> Iterator[Entry]:
        """Its pairs, or its judged replies."""
        good_enough = one.output_text.strip() != "" and (
            one.judged_by_human or (not one.dropped and one.quality_score >= self.wanted.min_quality)
        )
        if self._paired:
            for evidence, chosen, rejected in pairs(one):
                kind = "edits" if evidence.startswith("corrected:") else "swipes"
                if self._counts(kind, good=kind == "edits" or good_enough):
                    told = chosen if kind == "edits" else rejected
                    yield _entry(one, position, evidence, (one.input_text, told), len(chosen))
            self._remember_vote(one, position)
            return
        for reply in judged(one):
            kind = {"c": "edits", "d": "swipes"}.get(reply.evidence[0], "votes and originals")
            if self._counts(kind, good=reply.evidence != GOOD or good_enough):
                yield _entry(one, position, reply.evidence, (one.input_text, reply.text), len(reply.text))

    def counted_anew(self) -> None:
        """From here on pairs or judged replies are counted, not exchanges."""
        for better, worse in self._voted_pairs():
            self._counts("votes", good=True)
            self.shortlist.add(replace(better, uses=(_use(better, CHOSEN), _use(worse, REJECTED))))
            self.links.append((better.session_id, worse.session_id))
        total = len(self.shortlist) + self._weak
        named = ", ".join(f"{count} from {kind}" for kind, count in sorted(self._kinds.items())) or "none"
        what = "pairs of replies" if self._paired else "judged replies"
        self.funnel.append(Stage("judgements", total, 0, f"from here on {what} are counted: {named}"))
        why = f"the reply people kept broke a hard rule or is below {self.wanted.min_quality:g}"
        self.funnel.append(Stage("quality", total - self._weak, self._weak, why))
        self.kept = np.arange(len(self.shortlist))

    def _counts(self, kind: str, *, good: bool) -> bool:
        self._kinds[kind] += 1
        self._weak += not good
        return good

    def _remember_vote(self, one: Candidate, position: int) -> None:
        up = vote(one)
        if up is not None and one.output_text.strip():
            entry = _entry(one, position, "", (one.input_text, one.output_text), len(one.output_text))
            self._voted.append(_Voted(said(one.input_text), up, entry))

    def _voted_pairs(self) -> Iterator[tuple[Entry, Entry]]:
        """An upvoted and a downvoted reply to the same words; each of them in one pair, the best and the first ones first."""
        groups: dict[bytes, tuple[list[Entry], list[Entry]]] = defaultdict(lambda: ([], []))
        for voted in self._voted:
            groups[voted.asked][0 if voted.up else 1].append(voted.entry)
        for asked in sorted(groups):
            up, down = (sorted(side, key=_rank) for side in groups[asked])
            yield from ((better, worse) for better, worse in zip(up, down, strict=False) if better.said != worse.said)


def _rank(entry: Entry) -> tuple[float, object, str]:
    return -entry.quality_score, entry.occurred_at, entry.interaction_id


def _entry(one: Candidate, position: int, evidence: str, texts: Sequence[str], length: int) -> Entry:
    """`texts`: what makes the row different from others, so not the stored reply that all pairs of an exchange share."""
    entry = Entry(
        interaction_id=one.interaction_id,
        session_id=one.session_id,
        position=position,
        occurred_at=one.occurred_at,
        quality_score=one.quality_score,
        content_hash=one.content_hash,
        said=said(*texts),
        sketch=sketch(*texts),
        length=length,
    )
    return replace(entry, uses=(_use(entry, evidence),))


def _use(entry: Entry, evidence: str) -> Use:
    return Use(entry.interaction_id, entry.session_id, entry.content_hash, entry.quality_score, evidence)
