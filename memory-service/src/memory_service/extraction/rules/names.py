"""Names of people, places, employers and animals: told by a list or by their capital. Pure."""

import re

from memory_service.extraction.rules.text import QUOTED, Folded
from memory_service.extraction.rules.values import AND, WORD, Value, exact, made, whole
from memory_service.extraction.rules.words import (
    COMPANIES,
    FUNCTION_WORDS,
    NAMES,
    NAMES_THAT_ARE_WORDS,
    NO_COMPANIES,
    NO_NAMES,
    NO_PLACES,
    PLACES,
    compiled,
)  # fmt: skip

# What may follow a first name that is written small.
_AFTER_A_NAME = frozenset({"", "y", "and", "de", "from", "tengo", "i", "pero", "but"})


def _words(folded: Folded, start: int, end: int) -> list[re.Match[str]]:
    return list(WORD.finditer(folded.text, start, end))


def _capitalised(folded: Folded, word: re.Match[str]) -> bool:
    """A capital in front and not the whole text in capitals: shouting makes no names."""
    said = folded.said(word.start(), word.end())
    return said[:1].isupper() and (not _shouted(folded) or len(said) == 1)


def _shouted(folded: Folded) -> bool:
    return folded.original.upper() == folded.original and sum(letter.isalpha() for letter in folded.original) > 8


def _run(folded: Folded, words: list[re.Match[str]], most: int) -> int:
    """How many words from the first belong to one name: capitals, joined by spaces or `de la`."""
    count = 0
    for place, word in enumerate(words[:most]):
        if place and folded.text[words[place - 1].end() : word.start()] != " ":
            break
        if _capitalised(folded, word) and word.group() not in {"y", "i"}:
            count = place + 1
        elif word.group() not in {"de", "del", "la", "las", "los", "da", "dos", "van", "of", "the"}:
            break
    return count


def name(folded: Folded, start: int, end: int) -> list[Value]:
    """A name behind `me llamo`: capitals as far as they go, or one lower-case word (two when both are names)."""
    words = _words(folded, start, end)
    if (
        not words
        or words[0].start() > start
        or words[0].group() in FUNCTION_WORDS | NO_NAMES
        or QUOTED in words[0].group()
    ):
        return []
    count = _run(folded, words, 4)
    if not count:
        rest = folded.text[words[0].end() : end]
        ends = re.match(r"\s*(?:$|[,.!]|(?:y|e|i|and|but|pero|tengo|soy|vivo|de|from|jaja\w*|xd|lol)\b)", rest)
        if words[0].group() not in NAMES and not ends:
            return []
        both = len(words) > 1 and rest.startswith(" ") and words[0].group() in NAMES and words[1].group() in NAMES
        count = 2 if both else 1
    value = made(folded, words[0].start(), words[count - 1].end())
    if value is None or len(str(value.value)) < 2 or any(letter.isdigit() for letter in str(value.value)):
        return []
    return [value]


def known_name(folded: Folded, start: int, end: int) -> list[Value]:
    """A name where a name is only likely (`soy Carla`): a first name, with the capitals that follow it."""
    words = _words(folded, start, end)
    if not words or words[0].group() not in NAMES or words[0].group() in NO_NAMES:
        return []
    count = max(1, _run(folded, words, 4))
    if words[0].group() in NAMES_THAT_ARE_WORDS and not _capitalised(folded, words[0]):
        return []
    following = (
        words[count].group()
        if len(words) > count and folded.text[words[count - 1].end() : words[count].start()] == " "
        else ""
    )
    if not _capitalised(folded, words[0]) and following not in _AFTER_A_NAME:
        return []
    value = made(folded, words[0].start(), words[count - 1].end())
    return [value] if value else []


def capital_name(folded: Folded, start: int, end: int) -> list[Value]:
    """A name that must be written as one: `call me Alex`, and not `call me maybe`."""
    words = _words(folded, start, end)
    if not words or not (_capitalised(folded, words[0]) or words[0].group() in NAMES):
        return []
    return name(folded, start, end)


_KNOWN_PLACE = compiled("(?:the )?(?:{place}|{country})")
_AREA = re.compile(
    r"(?:el |the )?(?:centro|norte|sur|este|oeste|afueras|centre|center|downtown|north|south|suburbs) (?:de"
    r"|of) |(?:las|the) (?:afueras|outskirts|suburbs) (?:de|of) "
)
_TOWN = re.compile(
    r"(?:un |una |a )?(?:small |pequen\w+ )?(?:pueblo|pueblito|pueblecito|aldea|ciudad|town|village"
    r"|barrio)(?: pequen\w+)? (?:de|near|in|cerca de|outside) "
)


def place(folded: Folded, start: int, end: int) -> list[Value]:
    """A town, region or country: a known one in any case, else one written with a capital; `Bogotá, Colombia` is one."""
    area = _AREA.match(folded.text, start, end) or _TOWN.match(folded.text, start, end)
    begin = area.end() if area else start
    stop = _place_end(folded, begin, end)
    if stop is None:
        return []
    if folded.text.startswith(", ", stop, end):
        more = _KNOWN_PLACE.match(folded.text, stop + 2, end)
        if more and more.group() != folded.text[begin:stop]:
            stop = more.end()
    return whole(folded, start, stop)


def _place_end(folded: Folded, start: int, end: int) -> int | None:
    known = _KNOWN_PLACE.match(folded.text, start, end)
    words = _words(folded, start, end)
    count = _run(folded, words, 4)
    if known and (not count or words[count - 1].end() <= known.end()):
        return known.end()
    first = words[0].group() if words else ""
    article = folded.text[start:end].startswith(("el ", "la ", "los ", "las ", "the ")) and not known
    if (
        not count
        or first in NO_PLACES
        or (first in NAMES and first not in PLACES and not known)
        or words[0].start() > start
    ):
        return None
    if article and not _capitalised(folded, words[0]):
        return None
    return words[count - 1].end()


def company(folded: Folded, start: int, end: int) -> list[Value]:
    """An employer: a known one in any case, else one written with a capital that is no place and no trade."""
    words = _words(folded, start, end)
    if not words or words[0].start() > start:
        return []
    count = _run(folded, words, 4)
    first = words[0].group()
    if first in COMPANIES:
        return exact(folded, start, words[max(count, 1) - 1].end())
    stop = words[count - 1].end() if count else start
    run = folded.text[start:stop]
    if not count or not _capitalised(folded, words[0]) or run in PLACES or first in PLACES | NO_COMPANIES | NO_PLACES:
        return []
    return exact(folded, start, stop)


def names(folded: Folded, start: int, end: int) -> list[Value]:
    """Several names: `Ana y Luis`."""
    found: list[Value] = []
    for separator in [*AND.finditer(folded.text, start, end), None]:
        one = capital_name(folded, start, separator.start() if separator else end)
        if not one:
            break
        found += one
        start = separator.end() if separator else end
    return found


def pet_name(folded: Folded, start: int, end: int) -> list[Value]:
    """The name right behind the animal: `mi gata Nube`, written with a capital."""
    first = WORD.match(folded.text, start, end)
    if first is None or first.group() in FUNCTION_WORDS or not _capitalised(folded, first):
        return []
    return exact(folded, start, end)
