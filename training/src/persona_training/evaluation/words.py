"""Words, n-grams and the plain form of a text, the same everywhere in the gate."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_STAGE_DIRECTION = re.compile(r"\*[^*\n]{1,60}\*")


def words(text: str) -> list[str]:
    """The words of a text in lower case, punctuation and symbols dropped. A number is a word."""
    return [word.lower() for word in _WORD.findall(text)]


def plain(text: str) -> str:
    """Lower case without accents and punctuation, one space between words: for comparing, not for showing.

    The tilde of ñ goes too ("piña" and "pina" are the same answer).
    """
    decomposed = unicodedata.normalize("NFD", text)
    bare = "".join(char for char in decomposed if not unicodedata.combining(char))
    return " ".join(words(bare))


def ngrams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """Every run of n tokens, in order; empty when there are fewer than n."""
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def without_stage_directions(text: str) -> str:
    """The spoken part of a reply: everything between asterisks is left out."""
    return _STAGE_DIRECTION.sub(" ", text).strip()
