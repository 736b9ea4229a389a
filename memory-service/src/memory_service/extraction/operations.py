"""From what an author says to what changes: ADD, UPDATE, DELETE or NONE per field. Pure.

Saying a known thing again changes nothing, and what is denied is taken away alone: who no longer lives in Madrid still lives
in Barcelona.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from memory_service.extraction.statements import Statement
from memory_service.memories.profile import FIELDS, MAX_CONTENT, content_of
from memory_service.scoring.text import fold

Event = Literal["ADD", "UPDATE", "DELETE", "NONE"]

# Nobody likes and dislikes the same thing: saying the one takes the other back.
_OPPOSITES: Mapping[str, tuple[str, ...]] = {
    "likes": ("dislikes",),
    "favorites": ("dislikes",),
    "dislikes": ("likes", "favorites"),
}


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one field.

    Attributes:
        value: a list field's items that came or went; a single value, the old one when it was deleted.
    """

    field: str
    value: Any
    event: Event


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """One field before and after.

    Attributes:
        after: what to store; None: the memory's validity ends.
        spoken: the statements it follows from, in the order they were made.
        full: items that found no more room (a memory holds at most MAX_CONTENT characters).
    """

    field: str
    before: Any
    after: Any
    changes: tuple[Change, ...]
    spoken: tuple[Statement, ...]
    full: tuple[Any, ...] = ()

    @property
    def writes(self) -> bool:
        """Whether anything is to be stored."""
        return any(change.event != "NONE" for change in self.changes)


def plan(current: Mapping[str, Any], statements: Sequence[Statement]) -> list[FieldPlan]:
    """What `statements`, applied in their order, make of the current values; fields in the order they came up.

    `current` has the value of every field that is known. Of several values for a field that holds one, the last counts.
    """
    drafts: dict[str, _Draft] = {}
    for statement in statements:
        _draft(drafts, current, statement.field).hear(statement)
        if not statement.negated:
            for opposite in _OPPOSITES.get(statement.field, ()):
                if _has(_draft(drafts, current, opposite).values, statement.value):
                    drafts[opposite].drop(statement)
    return [draft.planned() for draft in drafts.values() if draft.spoken]


def same(left: Any, right: Any) -> bool:
    """Whether two values say the same, whatever their case, accents and white space."""
    return _folded(left) == _folded(right)


class _Draft:
    """One field while statements are applied to it: a list of values, of at most one where the field holds one."""

    def __init__(self, field: str, before: Any) -> None:
        self.field = field
        self.is_list = FIELDS[field].is_list
        self.before = before
        self.values: list[Any] = _listed(before) if self.is_list or before is None else [before]
        self.spoken: list[Statement] = []
        self.full: list[Any] = []

    def hear(self, statement: Statement) -> None:
        if statement.negated:
            self.drop(statement)
            return
        self.spoken.append(statement)
        if not self.is_list:
            if not (len(self.values) == 1 and same(self.values[0], statement.value)):
                self.values = [statement.value]
        elif not _has(self.values, statement.value):
            if len(content_of(self.field, [*self.values, statement.value])) <= MAX_CONTENT:
                self.values.append(statement.value)
            else:
                self.full.append(statement.value)

    def drop(self, statement: Statement) -> None:
        self.spoken.append(statement)
        gone = same if self.is_list else _same_place
        self.values = [value for value in self.values if not gone(value, statement.value)]

    def planned(self) -> FieldPlan:
        after: Any = (self.values if self.is_list else self.values[0]) if self.values else None
        changes = self._list_changes() if self.is_list else [self._single_change(after)]
        return FieldPlan(self.field, self.before, after, tuple(changes), tuple(self.spoken), tuple(self.full))

    def _list_changes(self) -> list[Change]:
        before = _listed(self.before)
        gone = [value for value in before if not _has(self.values, value)]
        come = [value for value in self.values if not _has(before, value)]
        changes = [Change(self.field, gone, "DELETE")] if gone else []
        changes += [Change(self.field, come, "ADD")] if come else []
        return changes or [Change(self.field, list(_distinct(said.value for said in self.spoken)), "NONE")]

    def _single_change(self, after: Any) -> Change:
        if after is None:
            if self.before is None:
                return Change(self.field, self.spoken[-1].value, "NONE")
            return Change(self.field, self.before, "DELETE")
        if self.before is None:
            return Change(self.field, after, "ADD")
        return Change(self.field, after, "NONE" if self.before is after or same(self.before, after) else "UPDATE")


def _draft(drafts: dict[str, _Draft], current: Mapping[str, Any], field: str) -> _Draft:
    if field not in drafts:
        drafts[field] = _Draft(field, current.get(field))
    return drafts[field]


def _listed(value: Any) -> list[Any]:
    """A value as a list: a client may have stored a single one where a list belongs."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _has(values: Iterable[Any], wanted: Any) -> bool:
    return any(same(value, wanted) for value in values)


def _distinct(values: Iterable[Any]) -> Iterable[Any]:
    seen: list[Any] = []
    for value in values:
        if not _has(seen, value):
            seen.append(value)
            yield value


def _same_place(known: Any, denied: Any) -> bool:
    """For a field of one value: "Madrid" denies "Madrid, España" too, not "Barcelona"."""
    return same(known, denied) or (isinstance(known, str) and same(known.partition(",")[0], denied))


def _folded(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    flat = " ".join(fold(text).split())
    # Signs at the ends are how it was said; signs inside are what it is: C++ is not C#.
    return flat.strip(" .,;:!¡?¿\"'«»“”") or flat
