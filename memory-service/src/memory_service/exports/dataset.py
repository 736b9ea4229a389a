"""From selected exchanges to the bytes of a dataset, and back again to the same bytes later. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from memory_service.exports.formats import Turn, chatml, conversations, jsonl
from memory_service.exports.manifest import Split
from memory_service.exports.redaction import Redacted, Redactor, introduced_names
from memory_service.exports.selection import Candidate

SPLITS = ("train", "val")


@dataclass(frozen=True, slots=True)
class Place:
    """Where one exchange stands in the dataset: its split and the line of that file, from 0."""

    interaction_id: str
    split: str
    row_number: int


@dataclass(frozen=True, slots=True)
class People:
    """Whom a dataset may name and whom not.

    `others` are viewers outside the dataset whose ids may be mentioned in it; `display_names` what viewers of the dataset
    are called besides their id; `public` the names that stay.
    """

    others: Sequence[str] = ()
    display_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    public: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    """The files, and how often each kind of personal data was taken out."""

    train: Split
    val: Split
    redacted: Mapping[str, int]


def positions(candidates: Iterable[Candidate]) -> dict[str, int]:
    """Each exchange's place in its session, counted over all of them, kept or not: what followed what."""
    ordered = sorted(candidates, key=lambda c: (c.session_id, c.occurred_at, c.interaction_id))
    return {
        candidate.interaction_id: place
        for _, session in groupby(ordered, key=lambda c: c.session_id)
        for place, candidate in enumerate(session)
    }


def arrange(
    kept: Sequence[Candidate], position: Mapping[str, int], held_out: frozenset[str], max_turns: int
) -> list[Place]:
    """Cut the kept exchanges into rows, sessions in the order they began, each split's lines numbered from 0."""
    began: dict[str, tuple[str, str]] = {}
    for candidate in sorted(kept, key=lambda c: (c.occurred_at, c.interaction_id)):
        began.setdefault(candidate.session_id, (candidate.occurred_at.isoformat(), candidate.session_id))
    ordered = sorted(kept, key=lambda c: (began[c.session_id], position[c.interaction_id]))
    turns = [Turn(c.interaction_id, c.session_id, "", position[c.interaction_id], "", "") for c in ordered]
    lines = dict.fromkeys(SPLITS, 0)
    places = []
    for row in conversations(turns, max_turns):
        split = "val" if row[0].session_id in held_out else "train"
        places += [Place(turn.interaction_id, split, lines[split]) for turn in row]
        lines[split] += 1
    return sorted(places, key=lambda place: SPLITS.index(place.split))


def render(
    candidates: Mapping[str, Candidate], places: Sequence[Place], people: People, system_prompt: str, key: str
) -> Dataset:
    """Redact and write. The same exchanges, places, people, prompt and key give the same bytes."""
    redactor = _redactor([candidates[place.interaction_id] for place in places], people, key)
    counts: Counter[str] = Counter()
    rows: dict[str, list[dict[str, object]]] = {split: [] for split in SPLITS}
    for (split, _), line in groupby(places, key=lambda place: (place.split, place.row_number)):
        conversation = [_turn(candidates[place.interaction_id], redactor, counts) for place in line]
        rows[split].append(chatml(conversation, system_prompt))
    train, val = (Split(split, len(rows[split]), jsonl(rows[split])) for split in SPLITS)
    return Dataset(train, val, dict(sorted(counts.items())))


def _redactor(candidates: Sequence[Candidate], people: People, key: str) -> Redactor:
    viewers = {candidate.user_id: list(people.display_names.get(candidate.user_id, ())) for candidate in candidates}
    for candidate in candidates:
        viewers[candidate.user_id] += introduced_names(candidate.input_text)
    return Redactor(key, viewers, people.public, people.others)


def _turn(candidate: Candidate, redactor: Redactor, counts: Counter[str]) -> Turn:
    def clean(text: str) -> str:
        redacted: Redacted = redactor.redact(text, candidate.user_id)
        counts.update(redacted.by_kind())
        return redacted.text

    return Turn(
        interaction_id=candidate.interaction_id,
        session_id=candidate.session_id,
        viewer=redactor.viewer(candidate.user_id),
        position=0,
        input_text=clean(candidate.input_text),
        output_text=clean(candidate.output_text),
    )
