"""What a question asks for besides its words: about whom, about when. Pure; Spanish and English.

Names are those who speak in the viewer's memories. They leave the question before it is embedded: a name pulls every text
by or about that person, whatever it says (recall@10 of the dense arm alone .426 with names, .603 without; LoCoMo
development conversations, all-MiniLM-L6-v2). The lexical arm keeps them.
"""

import itertools
import re
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date

_WORD = re.compile(r"\w+")
_MONTHS = {
    name: 1 + place % 12
    for place, name in enumerate(
        [
            "january",
            "february",
            "march",
            "april",
            "may",
            "june",
            "july",
            "august",
            "september",
            "october",
            "november",
            "december",
            "enero",
            "febrero",
            "marzo",
            "abril",
            "mayo",
            "junio",
            "julio",
            "agosto",
            "septiembre",
            "octubre",
            "noviembre",
            "diciembre",
        ]
    )
} | {"setiembre": 9}
_MONTH = "|".join(_MONTHS)
_ISO = re.compile(r"\b((?:19|20)\d\d)-(\d\d)(?:-(\d\d))?\b")
_DAY_MONTH = re.compile(
    rf"\b(\d{{1,2}})(?:st|nd|rd|th)?(?:\s+(?:de|of))?\s+({_MONTH})\b(?:,?\s+(?:(?:de|del|of)\s+)?((?:19|20)\d\d))?"
)
_MONTH_DAY = re.compile(rf"\b({_MONTH})\s+(\d{{1,2}})(?:st|nd|rd|th)?\b(?!\d)(?:,?\s+((?:19|20)\d\d))?")
_MONTH_ONLY = re.compile(rf"\b({_MONTH})\b(?:,?\s+(?:(?:de|del|of)\s+)?((?:19|20)\d\d))?")
_YEAR = re.compile(r"\b((?:19|20)\d\d)\b")
# "may" is a month after these only.
_MAY = re.compile(r"\b(?:in|of|during|last|since|until|by|this|next|early|late|mid)\s+may\b|\bmay\s+\d|\d\s+may\b")
_WHEN = re.compile(
    r"\b(when|how long|(what|which) (date|day|month|year|time)|cuando|hace cuanto|cuanto (tiempo|hace)|"
    r"que (dia|mes|ano|fecha|semana))\b"
)
_FIRST = frozenset(
    [
        "i",
        "me",
        "my",
        "mine",
        "we",
        "our",
        "us",
        "yo",
        "mi",
        "mis",
        "me",
        "conmigo",
        "mio",
        "mia",
        "nosotros",
        "nuestro",
        "nuestra",
    ]
)
_SECOND = frozenset(["you", "your", "yours", "tu", "tus", "te", "ti", "contigo", "tuyo", "tuya", "usted", "vos", "su"])
# How a transcript calls the two sides.
_VIEWER, _ASSISTANT = (
    frozenset({"user", "human", "usuario", "viewer"}),
    frozenset({"assistant", "ai", "bot", "asistente"}),
)


def folded(text: str) -> str:
    """Lower case without accents."""
    return "".join(char for char in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(char))


@dataclass(frozen=True, slots=True)
class Period:
    """A day, a month (of one year or of any) or a year that a question names."""

    year: int | None
    month: int | None = None
    day: int | None = None

    def fit(self, moment: date) -> float:
        """How well `moment` fits, 0 to 1: a day says more than a month, a month more than a year."""
        if self.year not in (None, moment.year) or self.month not in (None, moment.month):
            return 0.0
        if self.day is not None:
            apart = abs(self.day - moment.day)
            return 1.0 if apart == 0 else 0.75 if apart <= 3 else 0.5
        return 0.7 if self.month is not None else 0.3


def periods(question: str) -> list[Period]:
    """The dates, months and years in `question`. Of a date in full its month and year are not told again."""
    text = folded(question)
    found: list[Period] = []

    def take(pattern: re.Pattern[str], make: Callable[[re.Match[str]], Period]) -> None:
        nonlocal text
        found.extend(make(match) for match in pattern.finditer(text))
        text = pattern.sub(" ", text)

    take(_ISO, lambda m: Period(int(m[1]), _in_year(m[2]), int(m[3]) if m[3] else None))
    take(_DAY_MONTH, lambda m: Period(int(m[3]) if m[3] else None, _MONTHS[m[2]], int(m[1])))
    take(_MONTH_DAY, lambda m: Period(int(m[3]) if m[3] else None, _MONTHS[m[1]], int(m[2])))
    if not _MAY.search(text):
        text = re.sub(r"\bmay\b(?!,?\s+(?:19|20)\d\d)", " ", text)
    take(_MONTH_ONLY, lambda m: Period(int(m[2]) if m[2] else None, _MONTHS[m[1]]))
    take(_YEAR, lambda m: Period(int(m[1])))
    return found


def _in_year(month: str) -> int | None:
    return int(month) if 1 <= int(month) <= 12 else None


def asks_when(question: str) -> bool:
    """Whether the answer is a time."""
    return _WHEN.search(folded(question)) is not None


def possible_speakers(question: str) -> set[str]:
    """Folded names under which somebody in `question` may speak in the memories, to be looked up."""
    words = [folded(word) for word in _WORD.findall(question)]
    pairs = {f"{one} {other}" for one, other in itertools.pairwise(words)}
    return {*words, *pairs, *_VIEWER, *_ASSISTANT}


@dataclass(frozen=True, slots=True)
class About:
    """Who a question is about.

    Attributes:
        text: the question without the names of those who speak, for the dense arm; whole when nothing else is left.
        names: the words of the question that are such names, as the lexical arm calls its words.
        speaker: the one speaker asked about (folded); None for none or several.
    """

    text: str
    names: frozenset[str]
    speaker: str | None


def about(question: str, speakers: Collection[str]) -> About:
    """`speakers`: those of `possible_speakers(question)` who do speak in the memories."""
    named = [name for name in speakers if name not in _VIEWER | _ASSISTANT or name in folded(question).split()]
    words = {part for name in named for part in name.split()}
    kept = _without(question, words)
    names = frozenset(word.lower() for word in _WORD.findall(question) if folded(word) in words)
    asked = [name for name in named if all(part in {folded(word) for word in names} for part in name.split())]
    whole = [name for name in asked if not any(name != other and name in other.split() for other in asked)]
    speaker = whole[0] if len(whole) == 1 else None if whole else _side(question, speakers)
    return About(kept if _WORD.search(kept) else question, names, speaker)


def _without(question: str, names: Collection[str]) -> str:
    """`question` without `names` and their possessive s."""
    pieces, end = [], 0
    for word in _WORD.finditer(question):
        if folded(word[0]) in names:
            pieces.append(question[end : word.start()])
            possessive = re.compile(r"['’]s\b").match(question, word.end())
            end = possessive.end() if possessive else word.end()
    return " ".join("".join([*pieces, question[end:]]).split())


def _side(question: str, speakers: Collection[str]) -> str | None:
    """The side of a transcript that "I" or "you" means, when the memories tell sides apart."""
    words = {folded(word) for word in _WORD.findall(question)}
    first, second = bool(words & _FIRST), bool(words & _SECOND)
    if second and (sides := _ASSISTANT & set(speakers)):
        return min(sides)
    if first and not second and (sides := _VIEWER & set(speakers)):
        return min(sides)
    return None


def date_fit(asked: Sequence[Period], moment: date) -> float:
    """How well `moment` fits the best of the periods asked for; 0 when none is."""
    return max((period.fit(moment) for period in asked), default=0.0)
