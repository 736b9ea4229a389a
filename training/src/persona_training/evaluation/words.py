"""Words, n-grams and the plain form of a text, the same everywhere in the gate."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_STAGE_DIRECTION = re.compile(r"\*[^*\n]{1,60}\*")
MIN_LETTERS = 4  # shorter words carry no topic in either language: vez, así, voy, get, day


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


def spoken_words(text: str) -> list[str]:
    """The words of a reply without its stage directions, which are formulae."""
    return words(without_stage_directions(text))


def content_words(text: str) -> frozenset[str]:
    """What a text is about: its words of four letters or more, plain, without Spanish and English stop words."""
    return frozenset(word for word in plain(text).split() if len(word) >= MIN_LETTERS and word not in _stop_words())


@cache
def _stop_words() -> frozenset[str]:
    from bm25s.stopwords import STOPWORDS_EN_PLUS, STOPWORDS_SPANISH

    return frozenset(plain(word) for word in (*STOPWORDS_EN_PLUS, *STOPWORDS_SPANISH))
