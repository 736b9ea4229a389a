"""What recall found, as lines of a prompt under a token budget. Pure.

The same memories give the same bytes in whatever order they were ranked, so that a model's cache of the prompt stays valid:
lines stand by date, and of the same words said twice the earlier stand for both. The ranking decides who gets room: best
first; what does not fit is left out whole.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from memory_service.recall.questions import folded

Source = Literal["memory", "interaction"]
Place = Literal["before", "after"]

# A reply is one to three sentences; longer texts are cut, so that one of them cannot fill a prompt.
_LINE_CHARS = 600
# Ends of sentences, with the quotation marks and brackets that close behind them.
_SENTENCE_END = re.compile(r"[.!?…]+[\"'»”’)\]]*(?=\s)|[。！？]")
_WORD_END = re.compile(r"(?<=\S)(?=\s)")
# Marks at a word's edges that change nothing of what is said. A question mark does.
_EDGES = ".,;:!¡¿…\"'«»“”‘’()*"


@dataclass(frozen=True, slots=True)
class Remembered:
    """A memory or an exchange that recall found. `happened`: it is an event, and always dated."""

    id: UUID
    source: Source
    content: str
    happened: bool
    moment: datetime


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A turn that completes the remembered turn `of`: the question before it, or the answer after it."""

    id: UUID
    of: UUID
    content: str
    place: Place


@dataclass(frozen=True, slots=True)
class Form:
    """How lines are written.

    Attributes:
        dated: every line has its date, for a question about time.
        cited: every line ends with its number, `[1]`.
        max_tokens: what all lines together may take.
        count: tokens of a text.
    """

    max_tokens: int
    count: Callable[[str], int]
    dated: bool = False
    cited: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the summary, whose it is, and which turns it tells besides."""

    text: str
    of: Remembered
    neighbours: tuple[Neighbour, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """Lines in the order they stand in; `text` takes `tokens`, never more than the budget."""

    lines: tuple[Line, ...]
    text: str
    tokens: int


def summarised(memories: Sequence[Remembered], neighbours: Iterable[Neighbour], form: Form) -> Summary:
    """`memories`, best first, as lines: first what holds until it is superseded, then what happened; oldest first in both.

    Args:
        memories: a memory's id stands once.
        neighbours: turns to tell with them, as far as there is room when all memories had their turn.
        form: how lines are written, and how many tokens they may take.
    """
    order = _in_order(memories)
    writing = _Writing(form, len(order))
    for one in sorted(order.values(), key=lambda drafted: drafted.rank):
        writing.place(one)
    writing.complete(order, neighbours)
    return writing.summary(order)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A memory on one line; `said` is what it says, however it is spelt; `rank` its place in the ranking."""

    of: Remembered
    flat: str
    said: tuple[str, ...]
    rank: int


def _in_order(memories: Sequence[Remembered]) -> dict[UUID, _Draft]:
    """In the order of the lines, each text once."""
    drafts = [_Draft(one, *_flat(one.content), rank) for rank, one in enumerate(memories)]
    drafts.sort(key=lambda one: (one.of.happened, one.of.moment, one.flat, str(one.of.id)))
    first: dict[tuple[str, ...], _Draft] = {}
    for one in drafts:
        if not one.flat:
            continue
        known = first.setdefault(one.said, one)
        first[one.said] = replace(known, rank=min(known.rank, one.rank))
    return {one.of.id: one for one in first.values()}


def _flat(content: str) -> tuple[str, tuple[str, ...]]:
    """`content` on one line, no longer than a line may be, and what it says."""
    # No line shows more words than it may have characters.
    flat = " ".join(content.split(maxsplit=_LINE_CHARS)[:_LINE_CHARS])
    if len(flat) > _LINE_CHARS:
        flat = cut(flat, lambda piece: len(piece) <= _LINE_CHARS)
    words = (word.strip(_EDGES) for word in (flat.lower() if flat.isascii() else folded(flat)).split())
    return flat, tuple(filter(None, words)) or (flat,)


class _Writing:
    """The lines while they are written."""

    def __init__(self, form: Form, most: int) -> None:
        self._form = form
        self._mark = f" [{most}]" if form.cited else ""
        # The last line ends without a line break.
        self._room = form.max_tokens + 1
        self._lines: dict[UUID, Line] = {}
        # What was written, in the order of its right to room.
        self._written: list[tuple[UUID, Neighbour | None]] = []

    def place(self, one: _Draft) -> None:
        """Give a memory its line, if there is room. One that is too long even alone is cut."""
        text = self._bullet(one.of, one.flat)
        size = self._size(text)
        if size > self._form.max_tokens + 1:
            piece = cut(
                one.flat, lambda piece: self._size(self._bullet(one.of, piece)) <= self._room, words=not self._lines
            )
            if not piece:
                return
            text = self._bullet(one.of, piece)
            size = self._size(text)
        if size <= self._room:
            self._room -= size
            self._lines[one.of.id] = Line(text, one.of)
            self._written.append((one.of.id, None))

    def complete(self, order: Mapping[UUID, _Draft], neighbours: Iterable[Neighbour]) -> None:
        """Tell the turns that complete a line with it, each once, as far as there is room."""
        told = {order[id].said for id in self._lines}
        whole = [one for one in order.values() if one.of.id in self._lines and one.flat in self._lines[one.of.id].text]
        by_line = {one.of.id: [near for near in neighbours if near.of == one.of.id] for one in whole}
        taken: dict[UUID, list[tuple[Neighbour, str]]] = {}
        for one in whole:
            for near in sorted(by_line[one.of.id], key=lambda near: near.place, reverse=True):  # before, after
                flat, said = _flat(near.content)
                if flat and said not in told and near.id not in order:
                    told.add(said)
                    taken.setdefault(one.of.id, []).append((near, flat))
        for one in sorted(whole, key=lambda drafted: drafted.rank):
            text = one.flat
            for near, flat in taken.get(one.of.id, ()):
                longer = f"{flat} {text}" if near.place == "before" else f"{text} {flat}"
                if self._lengthen(self._bullet(one.of, longer), one.of.id, near):
                    text = longer

    def _lengthen(self, text: str, id: UUID, near: Neighbour) -> bool:
        line = self._lines[id]
        more = self._size(text) - self._size(line.text)
        if more > self._room:
            return False
        self._room -= more
        self._lines[id] = Line(text, line.of, (*line.neighbours, near))
        self._written.append((id, near))
        return True

    def summary(self, order: Mapping[UUID, _Draft]) -> Summary:
        """All that was written, in order. A tokenizer may take more for the whole than for its lines: then the last is left."""
        while True:
            lines = [self._lines[id] for id in order if id in self._lines]
            if self._form.cited:
                lines = [replace(one, text=f"{one.text} [{number}]") for number, one in enumerate(lines, 1)]
            text = "\n".join(one.text for one in lines)
            tokens = self._form.count(text)
            if tokens <= self._form.max_tokens or not self._written:
                return Summary(tuple(lines), text, tokens)
            self._take_back(order)

    def _take_back(self, order: Mapping[UUID, _Draft]) -> None:
        id, near = self._written.pop()
        line = self._lines.pop(id)
        if near is None:
            return
        kept = tuple(one for one in line.neighbours if one != near)
        text = order[id].flat
        for one in kept:
            flat = _flat(one.content)[0]
            text = f"{flat} {text}" if one.place == "before" else f"{text} {flat}"
        self._lines[id] = Line(self._bullet(line.of, text), line.of, kept)

    def _bullet(self, of: Remembered, text: str) -> str:
        return f"- {of.moment:%Y-%m-%d}: {text}" if of.happened or self._form.dated else f"- {text}"

    def _size(self, line: str) -> int:
        """With its number and its line break."""
        return self._form.count(line + self._mark) + 1


def cut(text: str, fits: Callable[[str], bool], *, words: bool = True) -> str:
    """The longest beginning of `text` that fits, with an ellipsis: up to the end of a sentence.

    With `words`, up to the end of a word where the sentences that fit are less than half of what would; in the middle of a word
    that fits not even alone. Empty when nothing fits.
    """
    sentences = _longest(text, [match.end() for match in _SENTENCE_END.finditer(text)], " …", fits)
    if not words:
        return sentences
    pieces = _longest(text, [match.start() for match in _WORD_END.finditer(text)], "…", fits)
    pieces = pieces or _longest(text, range(1, len(text)), "…", fits)
    return sentences if 2 * len(sentences) >= len(pieces) else pieces


def _longest(text: str, ends: Sequence[int], mark: str, fits: Callable[[str], bool]) -> str:
    place = bisect_right(ends, False, key=lambda end: not fits(text[:end] + mark))
    # Tokens do not always grow with the text: what is given back was asked itself.
    return text[: ends[place - 1]] + mark if place and fits(text[: ends[place - 1]] + mark) else ""
