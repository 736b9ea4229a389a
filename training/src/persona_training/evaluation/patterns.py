"""A battery's regular expressions, searched within a time limit: one that backtracks without end must not hang the gate.

Python's `re` cannot be stopped. `regex` reads the same language, takes a time limit and remembers more of what failed, so that
most patterns that are catastrophic for `re` are none for it.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import regex  # type: ignore[import-untyped]

from persona_training.errors import PersonaTrainingError

# Per search. The slowest one of a shipped pattern in `TRIALS` takes 1.1 ms: this leaves room for a busy machine.
SECONDS = 1.0
_ALL_SIGNS = f"{string.ascii_letters}{string.digits}{string.punctuation} ¡¿…"
# Repetitions in front of signs that many patterns wait for are what backtracking feeds on.
TRIALS = (f"{'a' * 400} {_ALL_SIGNS}", f"{'palabra ' * 50}{_ALL_SIGNS}", f"{'*ay* ' * 80}{_ALL_SIGNS}")


class PatternError(PersonaTrainingError):
    """A search took too long; the message names the regular expression and says what to do."""


@dataclass(frozen=True)
class Pattern:
    """A regular expression; case does not matter, `^` and `$` match at every line.

    Attributes:
        pattern: as the battery writes it.
    """

    pattern: str

    @cached_property
    def _compiled(self) -> Any:
        return regex.compile(self.pattern, regex.IGNORECASE | regex.MULTILINE)

    def search(self, text: str) -> object | None:
        """The first match, or None.

        Raises:
            PatternError: it takes longer than `SECONDS`; so do `finditer` and `sub`.
        """
        found: object | None = self._in_time(lambda: self._compiled.search(text, timeout=SECONDS))
        return found

    def finditer(self, text: str) -> list[Any]:
        """Every match, as `re` gives them; none overlaps another."""
        return list(self._in_time(lambda: list(self._compiled.finditer(text, timeout=SECONDS))))

    def sub(self, replacement: str, text: str) -> str:
        """The text with `replacement` for every match."""
        return str(self._in_time(lambda: self._compiled.sub(replacement, text, timeout=SECONDS)))

    def _in_time(self, search: Callable[[], Any]) -> Any:
        try:
            return search()
        except TimeoutError:
            raise PatternError(
                f"The regular expression {shown(self.pattern)} took more than {SECONDS:g} s for one text. Write it without "
                "a repetition inside a repetition, such as (\\w+\\s?)+."
            ) from None


def is_pattern(source: object) -> bool:
    """Is it a regular expression? What is no text is none of this question's business.

    Raises:
        regex.error, RecursionError, OverflowError: it is none.
    """
    if isinstance(source, str):
        regex.compile(source, regex.IGNORECASE | regex.MULTILINE)
    return True


NO_PATTERN = (regex.error, RecursionError, OverflowError)


def objection(source: str) -> str | None:
    """What speaks against a regular expression that is one: it is in every text, or too slow; None where nothing does."""
    pattern = Pattern(source)
    try:
        if pattern.search("") is not None and pattern.search(_ALL_SIGNS) is not None:
            return f"{shown(source)} is found in every text, so it tells nothing. Is a | too many in it?"
        for text in TRIALS:
            pattern.search(text)
    except PatternError as error:
        return error.message
    return None


def shown(source: str) -> str:
    """In quotes, cut where it gets long."""
    return repr(source if len(source) <= 80 else f"{source[:80]}…")
