"""A message as rules read it: folded, yet every place leads back to the author's own letters. Pure."""

import re
import unicodedata
from dataclasses import dataclass

# Stands for each letter of a quoted passage: no pattern matches it, yet a quoted title can still be a value.
QUOTED = "\ue000"
_QUOTATION = re.compile(
    r"«[^»\n]*(?:»|$)|“[^”\n]*(?:”|$)|„[^“\n]*(?:“|$)|\"[^\"\n]*(?:\"|$)|(?<!\w)'[^'\n]{4,200}'(?!\w)", re.MULTILINE
)
_APOSTROPHES = str.maketrans({"’": "'", "ʼ": "'", "`": "'", "´": "'"})


@dataclass(frozen=True, slots=True)
class Folded:
    """Lower case without accents, single spaces; `positions[i]` is where letter i stands in `original`."""

    original: str
    text: str
    positions: tuple[int, ...]

    def said(self, start: int, end: int) -> str:
        """The author's own letters between two places of the folded text."""
        if start >= end:
            return ""
        first, last = self.positions[start], self.positions[end - 1] + 1
        while last < len(self.original) and unicodedata.combining(self.original[last]):
            last += 1
        return self.original[first:last]


def fold(original: str) -> Folded:
    """Read `original`, one letter of it at most one letter of the result."""
    letters: list[str] = []
    positions: list[int] = []
    for place, letter in enumerate(original):
        plain = _plain(letter)
        if not plain or (plain == " " and letters and letters[-1] in " \n"):
            continue
        letters.append(plain)
        positions.append(place)
    return Folded(original, _without_quotations("".join(letters)), tuple(positions))


def _plain(letter: str) -> str:
    if letter.isascii():
        return " " if letter in "\t\r" else letter.lower().replace("`", "'")
    if unicodedata.combining(letter) or unicodedata.category(letter) in {"Cf", "Cc"}:
        return ""
    if letter.isspace():
        return " "
    return unicodedata.normalize("NFD", letter)[0].lower()[:1].translate(_APOSTROPHES)


def _without_quotations(text: str) -> str:
    return _QUOTATION.sub(lambda found: QUOTED * len(found.group()), text)


def plain(text: str) -> str:
    """The folded form of a word or a value, to compare with."""
    return fold(text).text.strip()
