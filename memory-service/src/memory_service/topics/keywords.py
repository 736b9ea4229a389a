"""The words of an exchange, and the words that tell one group of exchanges from the rest. Pure."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from memory_service.scoring.text import spoken, strip_accents, without_links

Words = list[str]

# Letters only, accents kept: numbers and names with digits make poor labels.
_WORD = re.compile(r"[^\W\d_]{3,}")
# Words in more than this share of all exchanges are how the persona talks, not what about. (.2 to .5 gave the same topics
# on a month of chat; a small persona with three themes needs the higher one.)
EVERYWHERE = 0.5
_SAID_BY = 0.25
_LABEL_WORDS, _KEYWORDS = 3, 8


def words_of(text: str, markers: Sequence[re.Pattern[str]] = ()) -> Words:
    """The words of `text` in lower case, without stage directions, links and the persona's markers."""
    text = unicodedata.normalize("NFC", without_links(spoken(text)))
    plain = strip_accents(text)
    if len(plain) == len(text):
        for marker in markers:
            for match in marker.finditer(plain):
                text = text[: match.start()] + " " * len(match.group()) + text[match.end() :]
    return _WORD.findall(text.lower())


def distinctive_words(groups: Sequence[Sequence[Words]], everything: Sequence[Words]) -> list[list[str]]:
    """For each group, the words that mark it, best first; a group may have none.

    A word's weight is the share of the group's exchanges that say it, times how rare it is over `everything` (class-based
    TF-IDF). A quarter of the group must say it, two exchanges at least, and not nearly everybody.
    """
    spread = Counter(word for words in everything for word in set(words))
    limit = max(2.0, EVERYWHERE * len(everything))
    marked = []
    for group in groups:
        inside = Counter(word for words in group for word in set(words))
        weight = {
            word: count / len(group) * math.log(1 + len(everything) / spread[word])
            for word, count in inside.items()
            if count >= max(2, _SAID_BY * len(group)) and spread[word] <= limit
        }
        ranked = sorted(weight, key=lambda word: (-weight[word], word))
        marked.append(_one_form_each(ranked)[:_KEYWORDS])
    return marked


def label_of(keywords: Sequence[str]) -> str:
    """The first keywords as a label."""
    return " · ".join(keywords[:_LABEL_WORDS])


def _one_form_each(ranked: Sequence[str]) -> list[str]:
    """Without plurals and other forms of a word that is there already: the first five letters decide."""
    seen: set[str] = set()
    kept = []
    for word in ranked:
        stem = strip_accents(word)[:5]
        if stem not in seen:
            seen.add(stem)
            kept.append(word)
    return kept
