"""The phrase lists of `lexicon.toml`, compiled once."""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

_SOURCE = Path(__file__).with_name("lexicon.toml")


@dataclass(frozen=True, slots=True)
class Phrase:
    """One pattern, the evidence it carries and what it is called when explained."""

    what: str
    weight: float
    pattern: re.Pattern[str]


def _phrases(rows: list[dict[str, object]]) -> tuple[Phrase, ...]:
    return tuple(
        Phrase(str(row["what"]), float(str(row["weight"])), re.compile(str(row["pattern"]), re.MULTILINE))
        for row in rows
    )


_BYTES = _SOURCE.read_bytes()
_TABLES = tomllib.loads(_BYTES.decode("utf-8"))

LEXICON_SHA256 = hashlib.sha256(_BYTES).hexdigest()
IRONY = re.compile(_TABLES["irony"])
TEMPLATE = re.compile("|".join(_TABLES["template"]), re.IGNORECASE | re.MULTILINE)
MEMORY_BLOCK = re.compile("|".join(_TABLES["memory_block"]), re.IGNORECASE | re.MULTILINE)
EMPTY_WORDS = frozenset(_TABLES["empty_words"].split())
PROMOTION = tuple(re.compile(pattern, re.DOTALL) for pattern in _TABLES["promotion"])
BLAND = tuple(re.compile(pattern, re.MULTILINE) for pattern in _TABLES["bland"])
REFUSAL = _phrases(_TABLES["refusal"])
ASSISTANT_TONE = _phrases(_TABLES["assistant_tone"])
ERROR_TEXT = _phrases(_TABLES["error_text"])
LIVELY = _phrases(_TABLES["lively"])


def evidence(phrases: tuple[Phrase, ...], folded: str) -> dict[str, float]:
    """What was found, by kind: two apologies are one apology, so each kind counts once with its strongest phrase."""
    found: dict[str, float] = {}
    for phrase in phrases:
        if phrase.pattern.search(folded):
            found[phrase.what] = max(found.get(phrase.what, 0.0), phrase.weight)
    return found
