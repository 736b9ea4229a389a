"""Reading short chat text: the few views of it that several rules and signals share."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_STAGE = re.compile(r"\*[^*\n]{1,80}\*")
_QUOTED = re.compile(r"«[^»]*»|“[^”]*”|\"[^\"]*\"|(?<!\w)'[^'\n]{4,}'(?!\w)")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_URL = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)


def strip_accents(text: str) -> str:
    """`qué ilusión` → `que ilusion`: viewers and models drop accents, rules must not care."""
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", "".join(c for c in decomposed if not unicodedata.combining(c)))


def fold(text: str) -> str:
    """Lower case without accents, one kind of quotation mark and space: what every phrase list is matched against."""
    return strip_accents(text).casefold().replace("’", "'").replace("…", "...").replace("\u00a0", " ")


def words(text: str) -> list[str]:
    """The words, folded; punctuation, emoji and asterisks fall away."""
    return _WORD.findall(fold(text))


def spoken(text: str) -> str:
    """The reply without its stage directions (`*suspiro*`)."""
    return _STAGE.sub(" ", text)


def without_links(text: str) -> str:
    """The text without addresses of web pages."""
    return _URL.sub(" ", text)


def without_quotes(text: str) -> str:
    """The text without quoted passages, unless almost everything is quoted: mocking a phrase is not saying it."""
    outside = _QUOTED.sub(" ", text)
    return outside if len(words(outside)) >= 3 else text


@lru_cache(maxsize=8192)
def grams(text: str, size: int) -> frozenset[str]:
    """The character n-grams of the folded words, for measuring how alike two texts are; an evening's are kept."""
    return grams_once(text, size)


def grams_once(text: str, size: int) -> frozenset[str]:
    """The same for a text that will not come again: 8,192 remembered ones take some 80 MB."""
    flat = " ".join(words(text))
    if not flat:
        return frozenset()
    return frozenset(flat[i : i + size] for i in range(max(1, len(flat) - size + 1)))


def jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    """Shared part of two sets, 0 (nothing) to 1 (equal); 0 when either is empty."""
    if not left or not right:
        return 0.0
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)


def longest_run(items: list[str]) -> int:
    """How often the same item stands next to itself at most: `a a b` → 2."""
    best = current = 0
    previous = None
    for item in items:
        current = current + 1 if item == previous else 1
        previous = item
        best = max(best, current)
    return best
