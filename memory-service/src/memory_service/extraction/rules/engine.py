"""Runs the patterns of both languages over the places of a message where its author may speak of themself. Pure."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from memory_service.extraction.cleaning import own_words
from memory_service.extraction.rules.readers import READERS
from memory_service.extraction.rules.segments import is_played, segments
from memory_service.extraction.rules.text import Folded, fold, plain
from memory_service.extraction.rules.values import Reader, Value
from memory_service.extraction.rules.words import compiled
from memory_service.extraction.statements import Statement
from memory_service.memories.profile import FIELDS

RULES_VERSION = "1"
# Beyond so many characters a message is a document, of which nobody can say who speaks in it.
MAX_CHARS = 8000

_ENDED = frozenset({"ya no", "no longer"})
_ENDS_LATER = re.compile(r"\W{0,2}\b(?:anymore|any more|any longer|ya no)\b")
_NOT_THIS = re.compile(r",? (?:y no|no|not|and not|instead of|en vez de) (?:(?:los|the) )?(?=\w)")
_YEARS = re.compile(r"(?: (?:anos|years old))?")
_WRONG = re.compile(r"[\w ]+")
_BETWEEN = re.compile(r",? (?:y|e|and|&) (?:(?:soy|tengo|also|tambien) )?|, ?|(?= )")
_CONFIDENCE = 0.9
_MOST_LINKS = 6


@dataclass(frozen=True, slots=True)
class Pattern:
    """One row of `patterns_es.toml` or `patterns_en.toml`; its keys are explained there."""

    match: re.Pattern[str]
    field: str
    read: Reader | None
    reader: str
    then: str
    no: str
    holds: bool
    opposite: str
    template: str
    from_value: bool
    where: re.Pattern[str] | None
    confidence: float


@dataclass(frozen=True, slots=True)
class _Language:
    openers: re.Pattern[str]
    groups: dict[str, tuple[Pattern, ...]]


def _pattern(row: dict[str, Any], pieces: dict[str, str]) -> Pattern:
    if row.get("field") and row["field"] not in FIELDS:
        raise KeyError(row["field"])
    return Pattern(
        match=compiled(row["match"], pieces),
        field=row.get("field", ""),
        read=READERS[row["read"]] if "read" in row else None,
        reader=row.get("read", ""),
        then=row.get("then", ""),
        no=row.get("no", "negates"),
        holds=row.get("holds", True),
        opposite=row.get("opposite", ""),
        template=row.get("as", "{}"),
        from_value=row.get("from") == "value",
        where=compiled(row["where"], pieces) if "where" in row else None,
        confidence=row.get("confidence", _CONFIDENCE),
    )


def _language(name: str) -> _Language:
    tables = tomllib.loads(Path(__file__).with_name(f"patterns_{name}.toml").read_text(encoding="utf-8"))
    pieces = tables.pop("pieces")
    openers = compiled(tables.pop("openers")["match"], pieces)
    return _Language(openers, {group: tuple(_pattern(row, pieces) for row in rows) for group, rows in tables.items()})


# Both run on every message: half of a bilingual chat's lines mix them, and a clause that fits one fits no other.
@cache
def _languages() -> tuple[_Language, ...]:
    """Read at the first message: compiling them takes 0.3 s, which a service that starts need not wait for."""
    return tuple(_language(name) for name in ("es", "en"))


def extract(message: str) -> list[Statement]:
    """What the author says of themself, in the order said; nothing where a careful reader would hesitate.

    Never raises. Only the first `MAX_CHARS` characters of the author's own words are read.
    """
    folded = fold(own_words(message)[:MAX_CHARS])
    if is_played(folded.text):
        return []
    found: list[Statement] = []
    for segment in segments(folded.text):
        read_until = -1
        for clause in segment.clauses:
            if clause < read_until:
                continue
            for language in _languages():
                statements, end = _read_clause(language, folded, clause, segment.end)
                if statements:
                    found += statements
                    read_until = end
                    break
    return _consistent(found)


def _read_clause(language: _Language, folded: Folded, start: int, end: int) -> tuple[list[Statement], int]:
    opener = language.openers.match(folded.text, start, end)
    for begin in dict.fromkeys((start, opener.end() if opener else start)):
        for pattern in language.groups["start"]:
            statements, stop = _apply(language, pattern, folded, begin, end)
            if statements:
                return statements, stop
    return [], start


def _apply(language: _Language, pattern: Pattern, folded: Folded, start: int, end: int) -> tuple[list[Statement], int]:
    found = pattern.match.match(folded.text, start, end)
    if found is None:
        return [], start
    no = (found.groupdict().get("no") or "").strip()
    statements, stop = [], found.end()
    if pattern.read:
        values = _values(pattern, found, folded, end)
        if not values:
            return [], start
        stop = values[-1].end
        statements = list(_statements(pattern, found, folded, values, no, end))
        corrected, stop = _correction(pattern, found, folded, stop, end)
        statements += corrected
    if pattern.then:
        linked, stop = _links(language, pattern, folded, stop, end, "" if pattern.field else no)
        statements += linked
    return statements, max(stop, found.end())


def _values(pattern: Pattern, found: re.Match[str], folded: Folded, end: int) -> list[Value]:
    assert pattern.read is not None  # noqa: S101 - the only caller asks before
    groups = found.groupdict()
    taken = next((name for name in ("value", "value2", "value3") if groups.get(name) is not None), None)
    start = found.start(taken) if taken else found.end()
    if pattern.where and not pattern.where.match(folded.text, start, end):
        return []
    # An empty group (a lookahead) or `from` marks where the value begins; else the group is all of it.
    bounded = taken is not None and found.end(taken) > start and not pattern.from_value
    return pattern.read(folded, start, found.end(taken) if bounded and taken else end)


def _statements(
    pattern: Pattern, found: re.Match[str], folded: Folded, values: list[Value], no: str, end: int
) -> Iterator[Statement]:
    ended = no in _ENDED or _ENDS_LATER.match(folded.text, values[-1].end, end) is not None
    if no and (pattern.no == "silences" or (pattern.no == "ends" and not ended)):
        return
    for value in values:
        said = _named(pattern, found, folded, value.value)
        evidence = folded.said(found.start(), max(value.end, found.start() + 1)).strip()
        negated = (bool(no) or ended) == pattern.holds
        if no and pattern.no == "opposes" and not ended:
            yield Statement(pattern.opposite, said, False, pattern.confidence, evidence)
        yield Statement(pattern.field, said, negated, pattern.confidence, evidence)


def _named(pattern: Pattern, found: re.Match[str], folded: Folded, value: str | int) -> str | int:
    key = found.groupdict().get("key")
    if key:
        return f"{folded.said(found.start('key'), found.end('key')).lower()}: {value}"
    return value if isinstance(value, int) or pattern.template == "{}" else pattern.template.format(value)


def _correction(
    pattern: Pattern, found: re.Match[str], folded: Folded, start: int, end: int
) -> tuple[list[Statement], int]:
    """`tengo 29 años, no 28`: what was put right."""
    if pattern.reader not in {"age", "name", "capital_name", "place"}:
        return [], start
    rest = _YEARS.match(folded.text, start, end)
    after = _NOT_THIS.match(folded.text, rest.end() if rest else start, end)
    if after is None or pattern.read is None:
        return [], start
    stop = _WRONG.match(folded.text, after.end(), end)
    wrong = pattern.read(folded, after.end(), stop.end() if stop else end)
    said = folded.said(found.start(), wrong[0].end) if wrong else ""
    statements = [
        Statement(pattern.field, _named(pattern, found, folded, one.value), True, pattern.confidence, said)
        for one in wrong
    ]
    return statements, wrong[-1].end if wrong else start


def _links(
    language: _Language, pattern: Pattern, folded: Folded, start: int, end: int, no: str
) -> tuple[list[Statement], int]:
    """What hangs on: `soy Ana, 25 años, de Lugo y enfermera`."""
    statements: list[Statement] = []
    for number in range(_MOST_LINKS):
        places = [start] if number == 0 and not pattern.field else []
        if between := _BETWEEN.match(folded.text, start, end):
            places.append(between.end() + (folded.text[between.end() : between.end() + 1] == " "))
        one: list[Statement] = []
        for place in places:
            for link in language.groups[pattern.then]:
                one, stop = _linked(link, folded, place, end, no)
                if one:
                    break
            if one:
                break
        if not one:
            break
        statements += one
        start = stop
    return statements, start


def _linked(link: Pattern, folded: Folded, place: int, end: int, no: str) -> tuple[list[Statement], int]:
    found = link.match.match(folded.text, place, end)
    values = _values(link, found, folded, end) if found else []
    if not found or not values:
        return [], place
    statements = list(_statements(link, found, folded, values, no, end))
    corrected, stop = _correction(
        link, found, folded, max(found.end(), values[-1].end) if link.reader != "items" else values[-1].end, end
    )
    return statements + corrected, stop


def _consistent(found: list[Statement]) -> list[Statement]:
    """Each thing once; of several values for a field that has one, the surest and of these the last."""
    kept: dict[tuple[str, str, bool], Statement] = {}
    for one in found:
        kept.setdefault((one.field, plain(str(one.value)), one.negated), one)
    best: dict[str, Statement] = {}
    for one in kept.values():
        if not one.negated and not FIELDS[one.field].is_list:
            before = best.get(one.field)
            best[one.field] = one if before is None or one.confidence >= before.confidence else before
    return [one for one in kept.values() if one.negated or FIELDS[one.field].is_list or best[one.field] is one]
