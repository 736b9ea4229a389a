"""Where each kept exchange stands in the files: rows cut from sessions, whole sessions held out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memory_service.exports.shortlist import Shortlist
from memory_service.exports.splitting import held_out_sessions

SPLITS = ("train", "val")


@dataclass(frozen=True, slots=True)
class Place:
    """Where one exchange stands: its split, the line of that file (from 0) and its place in the line (from 0).

    `evidence`: in preference rows, which of its replies stands there.
    """

    interaction_id: str
    session_id: str
    split: str
    row_number: int
    place: int
    content_hash: bytes
    quality_score: float
    evidence: str | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """How the kept entries become rows.

    Attributes:
        max_turns: longest conversation; 1 for preferences, each of which is a row.
        links: sessions that one row has in common, and that must not be torn apart.
    """

    val_share: float
    seed: int
    max_turns: int
    links: Sequence[tuple[str, str]] = ()


def arrange(shortlist: Shortlist, kept: NDArray[np.intp], cut: Cut) -> Iterator[Place]:
    """The places in file order, first all of train. Sessions stand in the order they began, among the kept."""
    columns = shortlist.columns()
    order = _by_session(shortlist, kept)
    held = _held_out(shortlist, sorted(set(columns.session[kept].tolist())), cut)
    for split in SPLITS:
        side = order[held[columns.session[order]] == (split == "val")]
        for number, row in enumerate(_rows(shortlist, side, cut.max_turns)):
            yield from _places(shortlist, row, split, number)


def _by_session(shortlist: Shortlist, kept: NDArray[np.intp]) -> NDArray[np.intp]:
    columns = shortlist.columns()
    stays = np.zeros(len(shortlist), dtype=bool)
    stays[kept] = True
    in_time = columns.in_time()
    in_time = in_time[stays[in_time]]
    _, first = np.unique(columns.session[in_time], return_index=True)
    began = np.zeros(int(columns.session.max()) + 1, dtype=np.int64)
    began[columns.session[in_time[first]]] = first
    return in_time[np.lexsort((columns.position[in_time], began[columns.session[in_time]]))]


def _held_out(shortlist: Shortlist, sessions: Sequence[int], cut: Cut) -> NDArray[np.bool_]:
    names = shortlist.session_ids()
    ids = {number: names[number] for number in sessions}
    side = _together({*ids.values()}, cut.links)
    held = held_out_sessions(side.values(), cut.val_share, cut.seed)
    found = np.zeros(max(sessions, default=0) + 1, dtype=bool)
    for number, name in ids.items():
        found[number] = side[name] in held
    return found


def _together(sessions: set[str], links: Iterable[tuple[str, str]]) -> dict[str, str]:
    """For each session the one that decides for it: the first of all that rows link it with, directly or not."""
    head = {session: session for session in sorted(sessions)}

    def root(session: str) -> str:
        while head.setdefault(session, session) != session:
            session = head[session]
        return session

    for one, other in links:
        first, second = sorted((root(one), root(other)))
        head[second] = first
    return {session: root(session) for session in sessions}


def _rows(shortlist: Shortlist, order: NDArray[np.intp], max_turns: int) -> Iterator[list[int]]:
    """Only turns that followed each other directly, and were answered with the same memories, stay together.

    Across a dropped exchange the reply would answer something the reader of the row cannot see.
    """
    if max_turns < 1:
        raise ValueError(f"a conversation needs at least one turn, got max_turns={max_turns}")
    columns = shortlist.columns()
    row: list[int] = []
    for index in map(int, order):
        if row:
            before = row[-1]
            follows = columns.session[index] == columns.session[before] and (
                int(columns.position[index]) == int(columns.position[before]) + 1
            )
            if not follows or columns.block[index] != columns.block[before] or len(row) == max_turns:
                yield row
                row = []
        row.append(index)
    if row:
        yield row


def _places(shortlist: Shortlist, row: Sequence[int], split: str, number: int) -> Iterator[Place]:
    for place, index in enumerate(row):
        uses = shortlist.uses(index)
        for part, use in enumerate(uses):
            hashed = bytes.fromhex(use.content_hash)
            yield Place(
                use.interaction_id, use.session_id, split, number, part, hashed, use.quality_score, use.evidence
            )
        if not uses:
            session, hashed = shortlist.session_id(index), shortlist.content_hash(index)
            yield Place(shortlist.id(index), session, split, number, place, hashed, shortlist.score(index))
