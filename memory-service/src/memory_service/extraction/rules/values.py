"""Values as they are stored: cut where the statement ends, split into items, without articles. Pure.

A reader gets the folded text from where a value begins to where its sentence ends, and says which parts of it are
values. It answers nothing rather than half a meaning: `la gente que grita` is not `gente`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from memory_service.extraction.rules.text import QUOTED, Folded
from memory_service.extraction.rules.words import FUNCTION_WORDS, HOBBY_VERBS, REJECTED, number

# More words than these are a story, not an item.
_ITEM_WORDS = 7
_PHRASE_WORDS = 12
_MOST_ITEMS = 12
_LEAST_AGE, _MOST_AGE = 5, 115


@dataclass(frozen=True, slots=True)
class Value:
    """A value and where it stands in the folded text."""

    value: str | int
    start: int
    end: int


Reader = Callable[[Folded, int, int], list[Value]]

# The listener, or what only this moment tells.
_NOT_ONES_OWN = frozenset(
    ["tu", "tus", "te", "ti", "contigo", "you", "your", "u", "ur", "esto", "eso", "this", "that", "it"]
)

WORD = re.compile(r"[^\W_]+(?:['.\-+#&/]*[^\W_]+)*[+#]*|" + QUOTED + "+")

# Where a value ends, in either language: another clause, an afterthought, laughter.
_CUT = re.compile(
    r"(?:^|[ ,])(?:pero|aunque|porque|pq|xq|ya que|desde (?:que|hace|pequen\w+|nin\w+|chic\w+|siempre|los|el"
    r"|mi)|cuando|mientras|asi que|sobre todo|"
    r"ademas|verdad|no|eh|ja(?:ja)+\w*|je(?:je)+\w*|ha(?:ha)+\w*|xd+|lol|lmao|por cierto|la verdad|tambien"
    r"|mucho|much[oi]simo|muxo|bastante|"
    r"un monton|ultimamente|gracias|salvo|excepto|menos|mientras|sin embargo|especialmente|porfa\w*|saludos"
    r"|un saludo|"
    r"btw|tbh|but|because|cuz|although|though|when|while|since|so|too|a lot|lots|very much|as well|especially|mostly|"
    r"anymore|any more|more than|mas que|thanks|thank you|rn|fyi|lately|these days|nowadays|except|whenever"
    r"|after all|actually|honestly|haha|please|pls|"
    r"for (?:years|\d+ years)|if|si|sino|than|instead|at all|though|i guess|creo|supongo|at the moment"
    r"|de momento|por ahora|for now|ni)(?=[ ,]|$)"
)
_ARTICLE = re.compile(r"(?:el|la|los|las|l'|the|un|una|a|an|al|del|some|to) ")
_LEADING = re.compile(
    r"(?:(?:mucho|muchisimo|muxo|much[oi]simo|un monton|bastante|demasiado|tanto|mas|solo|sobre todo"
    r"|especialmente|un poco|un poquito|algo|"
    r"a lot of|really|also|both|mostly|mainly|especially|a (?:little|bit of|little bit of)|just|tambien"
    r"|siempre|nada|de|jugar a que) )+"
)
_SEPARATOR = re.compile(r",? (?:y|e|and|&|o|u|or|tambien|ni) (?:tambien |also )?|, ?|/| & | \+ ")
_INFINITIVE = re.compile(r"[a-z]{2,}(?:ar|er|ir|arme|erme|irme)$")
_DE = frozenset(["de", "del", "con", "sin", "para", "en", "al", "a", "por", "of", "and", "with", "in", "on", "'s"])
_TAIL = re.compile(r"[\s,.;:!?\-–—~*_'\"()]+$")


def without_article(folded: Folded, start: int, end: int) -> int:
    """Where the value begins behind a lower-case article; `El viaje de Chihiro` and `the Beatles` keep or lose theirs."""
    found = _ARTICLE.match(folded.text, start, end)
    if found and folded.said(start, start + 1).islower() and found.end() < end:
        return found.end()
    return start


def _trimmed(folded: Folded, start: int, end: int) -> tuple[int, int]:
    while start < end and folded.text[start] in " ,.:;-–—~*_'\"":
        start += 1
    found = _TAIL.search(folded.text[start:end])
    return start, start + found.start() if found else end


def made(folded: Folded, start: int, end: int) -> Value | None:
    start, end = _trimmed(folded, start, end)
    said = folded.said(start, end)
    if folded.text[start:end].strip(QUOTED) == "":
        said = said.strip("\"'«»“”„ ").strip()
    if QUOTED in folded.text[start:end].strip(QUOTED) or not any(letter.isalnum() for letter in said):
        return None
    return Value(said, start, end)


def items(folded: Folded, start: int, end: int) -> list[Value]:
    """Things liked, done or known: `los gatos, el café y la lluvia` as three."""
    end = _cut(folded, start, end)
    found: list[Value] = []
    place = start
    for separator in [*_SEPARATOR.finditer(folded.text, start, end), None]:
        stop = separator.start() if separator else end
        value = _item(folded, place, stop, first=not found)
        if value is None or len(found) == _MOST_ITEMS:
            # `rosas y tengo sueño`: the first part stands, a clause begins behind it.
            break
        found.append(value)
        if separator is None:
            break
        place = separator.end()
    return found


def _cut(folded: Folded, start: int, end: int) -> int:
    found = _CUT.search(folded.text[start:end])
    return start + found.start() if found else end


def _item(folded: Folded, start: int, end: int, *, first: bool) -> Value | None:
    leading = _LEADING.match(folded.text, start, end)
    begin = leading.end() if leading else start
    articled = without_article(folded, begin, end)
    words = WORD.findall(folded.text[articled:end])
    if not words or len(words) > _ITEM_WORDS or _is_about_else(folded, articled, end):
        return None
    if not first and articled == begin and len(words) > 1 and not _stands_alone(folded, begin, words):
        return None
    if words[0] in FUNCTION_WORDS - {"si", "love", "like", "sin", "con"} or (
        len(words) == 1 and (len(words[0]) < 2 or words[0].isdigit())
    ):
        return None
    return made(folded, articled, end)


def _is_about_else(folded: Folded, start: int, end: int) -> bool:
    """Whether a word of it speaks of the listener, this moment or somebody's story; `té` is a drink, `te` is you."""
    return any(
        word.group() in REJECTED and folded.said(word.start(), word.end()) != "té"
        for word in WORD.finditer(folded.text, start, end)
    )


def _stands_alone(folded: Folded, start: int, words: list[str]) -> bool:
    """Whether several words without an article, behind a comma or `and`, are a thing rather than a clause."""
    verb_like = words[0].endswith("o") and words[1] not in _DE and len(words[0]) > 3
    return (
        not folded.said(start, start + 1).islower()
        or bool(_INFINITIVE.match(words[0]))
        or words[1] in _DE
        or (not verb_like and len(words) <= 3 and words[1] not in FUNCTION_WORDS)
    )


def phrase(folded: Folded, start: int, end: int) -> list[Value]:
    """What somebody does or is after, in their own words up to the end of the clause."""
    end = _phrase_end(folded, start, end)
    words = WORD.findall(folded.text[start:end])
    if not words or len(words) > _PHRASE_WORDS or any(word in _NOT_ONES_OWN or QUOTED in word for word in words):
        return []
    value = made(folded, start, end)
    return [value] if value else []


_PHRASE_CUT = re.compile(r",| (?:y (?:ya|no|me|te|la|el|eso|asi)|and (?:i|it|my|the|no|that)|e|aunque no) ")


def _phrase_end(folded: Folded, start: int, end: int) -> int:
    end = _cut(folded, start, end)
    found = _PHRASE_CUT.search(folded.text, start, end)
    return found.start() if found else end


def whole(folded: Folded, start: int, end: int) -> list[Value]:
    """Exactly what the pattern took, without a leading article."""
    value = made(folded, without_article(folded, start, end), end)
    return [value] if value else []


def exact(folded: Folded, start: int, end: int) -> list[Value]:
    """Exactly what the pattern took."""
    value = made(folded, start, end)
    return [value] if value else []


def age(folded: Folded, start: int, end: int) -> list[Value]:
    """Years of age that somebody who writes may have."""
    years = number(folded.text[start:end].strip())
    return [Value(years, start, end)] if years is not None and _LEAST_AGE <= years <= _MOST_AGE else []


AND = re.compile(r", and |, | y | e | and ")
_VAGUE = re.compile(
    r"(?:en |algo de |un poco de |un poquito de |tambien |some |a little |a bit of |basic |also |any )+"
)


def words(folded: Folded, start: int, end: int) -> list[Value]:
    """Words of a closed list, which the pattern took whole: `español, catalán y algo de inglés`."""
    found = []
    for separator in [*AND.finditer(folded.text, start, end), None]:
        stop = separator.start() if separator else end
        vague = _VAGUE.match(folded.text, start, stop)
        found += whole(folded, vague.end() if vague else start, stop)
        start = separator.end() if separator else end
    return found


def hobbies(folded: Folded, start: int, end: int) -> list[Value]:
    """What is done, with its verb named as one names a hobby: `dibujo y toco el bajo` → dibujar, tocar el bajo."""
    found: list[Value] = []
    end = _cut(folded, start, end)
    for separator in [*_SEPARATOR.finditer(folded.text, start, end), None]:
        stop = separator.start() if separator else end
        head = WORD.match(folded.text, start, stop)
        if head is None or head.group() not in HOBBY_VERBS:
            break
        rest = items(folded, head.end() + 1, stop) if stop > head.end() + 1 else []
        if rest or stop <= head.end() + 1:
            said = folded.said(head.end(), rest[0].end) if rest else ""
            found.append(Value(HOBBY_VERBS[head.group()] + said, start, rest[0].end if rest else head.end()))
        if separator is None:
            break
        start = separator.end()
    return found


_ONE = re.compile(r"(?:un|una|a|an) ")


def counted(folded: Folded, start: int, end: int) -> list[Value]:
    """`una tortuga` as tortuga, `tres peces` as said."""
    one = _ONE.match(folded.text, start, end)
    return exact(folded, one.end() if one else start, end)


def skills(folded: Folded, start: int, end: int) -> list[Value]:
    """What somebody can do: the verb and its object."""
    return [
        one
        for one in items(folded, start, end)
        if not {"so", "for", "para"} & set(folded.text[one.start : one.end].split())
    ]
