"""Redaction: no personal data of a viewer leaves the service in a dataset, and people stay people.

Numbers and addresses become a word in brackets, and so do control tokens of chat templates, which would let a viewer write
a system turn. Viewers become `viewer_17`, the same viewer always the same number
within an export: a character taught with `<PERSON>` would learn to say `<PERSON>`. Names on the allow-list (the persona,
the streamer, public channels) stay, because they are part of the character.
"""

from __future__ import annotations

import hashlib
import hmac
import inspect
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import phonenumbers
import stdnum

from memory_service.exports import detectors
from memory_service.exports.detectors import DETECTORS, Span

_TOKEN = re.compile(r"viewer_\d+|\[(?:url|email|iban|card|id|ip|address|phone|control)\]")
_WORD = re.compile(r"\w+")
_LABELS = {kind: f"[{kind}]" for kind, _ in DETECTORS} | {"secret": "[url]", "control_tokens": "[control]"}
_HANDLE = re.compile(r"(?<![\w@/.])@(?P<name>\w(?:[\w.]{0,28}\w)?)(?!\w)|(?<!\w)(?P<discord>\w[\w.]{1,31})#\d{4}(?!\w)")
_NAMED_HANDLE = re.compile(
    r"\b(?:insta(?:gram)?|ig|twitter|tiktok|discord|telegram|snap(?:chat)?|twitch|usuario|nick|username)"
    r"\s*(?:es|is|:|=)\s*(?P<name>\w[\w.]{2,30}\w)(?!\w)",
    re.IGNORECASE,
)
_SURNAMES = r"(?: (?:de |del |la )*[A-ZÁÉÍÓÚÑ][\w'’-]+){0,3}"
_INTRODUCTIONS = (
    re.compile(
        rf"\b(?i:me llamo|mi nombre (?:real |completo )?es|my (?:real |full )?name(?: is"
        rf"|'s)) (?P<name>[^\W\d_][\w'’-]+{_SURNAMES})"
    ),
    re.compile(rf"\b(?i:call me|ll[aá]m[ae]me) (?P<name>[A-ZÁÉÍÓÚÑ][\w'’-]+{_SURNAMES})"),
    re.compile(rf"\b(?i:soy|i am|i'm) (?P<name>[A-ZÁÉÍÓÚÑ][a-záéíóúñ]+{_SURNAMES})(?=[,.!;]| de | from | y | and |$)"),
)
_NOT_NAMES = frozenset(
    {
        "ai",
        "fan",
        "no",
        "asi",
        "si",
        "human",
        "spanish",
        "humano",
        "nadie",
        "yo",
        "hola",
        "the",
        "viewer",
        "english",
        "team",
        "como",
        "igual",
        "tonto",
        "tu",
        "humana",
        "ia",
    }
)

_SOURCES = inspect.getsource(detectors) + "".join(p.pattern for p in (_HANDLE, _NAMED_HANDLE, *_INTRODUCTIONS))
REDACTION_VERSION = (
    "pii-1-" + hashlib.sha256(f"{_SOURCES}{phonenumbers.__version__}{stdnum.__version__}".encode()).hexdigest()[:8]
)


@dataclass(frozen=True, slots=True)
class Found:
    """One replaced passage: what it was and where it stood in the original text."""

    kind: str
    start: int
    end: int
    replacement: str


@dataclass(frozen=True, slots=True)
class Redacted:
    """The text without personal data, and what was taken out, in order of position."""

    text: str
    found: tuple[Found, ...]

    def by_kind(self) -> dict[str, int]:
        """How many passages of each kind were replaced."""
        counts: dict[str, int] = {}
        for item in self.found:
            counts[item.kind] = counts.get(item.kind, 0) + 1
        return counts


class Redactor:
    """Redacts the texts of one export.

    `viewers` maps every viewer id of the export to further names of that person (display name, name they gave).
    `others` are viewers outside the export whose ids may be mentioned in it.
    `key` makes the numbering: whoever does not have it cannot tell which viewer has which number.
    """

    def __init__(
        self,
        key: str,
        viewers: Mapping[str, Iterable[str]],
        allowed: Iterable[str] = (),
        others: Iterable[str] = (),
    ) -> None:
        self._key = key.encode()
        self._allowed = frozenset(_folded(name) for name in allowed)
        ranked = sorted(viewers, key=lambda viewer: (self._digest(viewer), viewer))
        self._numbers = {viewer: number for number, viewer in enumerate(ranked, start=1)}
        self._names = {viewer: [viewer, *viewers[viewer]] for viewer in ranked}
        self._handles = {_folded(viewer): viewer for viewer in reversed(ranked)}
        elsewhere = sorted(set(others) - set(viewers))
        for other in elsewhere:
            self._handles.setdefault(_folded(other), other)
        known = [name for name in (*ranked, *elsewhere) if len(name) >= 3 and not self._stays(name)]
        # An id of one word is looked up word by word: a pattern of thousands of names would be tried at every letter.
        self._words = {_folded(name): name for name in reversed(known) if _WORD.fullmatch(name)}
        self._phrases = self._name_pattern([name for name in known if not _WORD.fullmatch(name)], re.IGNORECASE)

    def viewer(self, viewer_id: str) -> str:
        """The pseudonym of a viewer, `viewer_<n>`; also for one who only was mentioned."""
        number = self._numbers.get(viewer_id)
        if number is None:
            # Four digits from the keyed hash: the same handle is the same person throughout, without a list of them.
            number = 1000 + int.from_bytes(self._digest(_folded(viewer_id))[:4]) % 9000
        return f"viewer_{number}"

    def redact(self, text: str, viewer_id: str | None = None) -> Redacted:
        """Replace every piece of personal data. `viewer_id` is who takes part in the exchange: their names go too.

        Applying it to its own result changes nothing.
        """
        found: list[Found] = []
        while new := list(self._search(text, found, viewer_id)):
            found.extend(new)
        found.sort(key=lambda item: item.start)
        parts, position = [], 0
        for item in found:
            parts += [text[position : item.start], item.replacement]
            position = item.end
        return Redacted("".join(parts) + text[position:], tuple(found))

    def _search(self, text: str, found: list[Found], viewer_id: str | None) -> Iterator[Found]:
        """What the detectors find between the passages already replaced, without overlaps, first detector first."""
        for offset, piece in _between(text, found):
            claimed: list[Span] = []
            for kind, start, end, replacement in self._in_piece(piece, viewer_id):
                if start < end and all(end <= taken_start or start >= taken_end for taken_start, taken_end in claimed):
                    claimed.append((start, end))
                    yield Found(kind, offset + start, offset + end, replacement)

    def _in_piece(self, piece: str, viewer_id: str | None) -> Iterator[tuple[str, int, int, str]]:
        for kind, detect in DETECTORS:
            for start, end in detect(piece):
                yield kind, start, end, _LABELS[kind]
        for pattern in (_HANDLE, _NAMED_HANDLE):
            for match in pattern.finditer(piece):
                name = match.group("name") or match.group("discord")
                if _folded(name) not in self._allowed and _folded(name) not in _NOT_NAMES:
                    start = match.start("name") if pattern is _NAMED_HANDLE else match.start()
                    yield "handle", start, match.end(), self.viewer(self._handles.get(_folded(name), name))
        yield from self._names_in(piece, viewer_id)

    def _names_in(self, piece: str, viewer_id: str | None) -> Iterator[tuple[str, int, int, str]]:
        if viewer_id is not None:
            own = self._name_pattern(self._names.get(viewer_id, [viewer_id]))
            for match in own.finditer(piece) if own else ():
                yield "name", *match.span(), self.viewer(viewer_id)
        for match in self._phrases.finditer(piece) if self._phrases else ():
            yield "name", *match.span(), self.viewer(self._handles.get(_folded(match.group()), match.group()))
        for match in _WORD.finditer(piece):
            viewer = self._words.get(_folded(match.group()))
            if viewer is not None:
                yield "name", *match.span(), self.viewer(viewer)

    def _name_pattern(self, names: Iterable[str], flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str] | None:
        """Any of the names as whole words, longest first; names too short or allowed to stay are left out."""
        usable = {name for name in names if len(name) >= 3 and not self._stays(name)}
        if not usable:
            return None
        longest_first = sorted(usable, key=lambda name: (-len(name), name))
        return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", flags)

    def _stays(self, name: str) -> bool:
        return _folded(name) in self._allowed or _folded(name) in _NOT_NAMES or _TOKEN.fullmatch(name) is not None

    def _digest(self, viewer: str) -> bytes:
        return hmac.digest(self._key, viewer.encode(), "sha256")


def introduced_names(text: str) -> list[str]:
    """Names a viewer gives as their own ("me llamo Lucía Pérez"): the whole, and its first word, as written and capitalised."""
    names = []
    for match in (match for pattern in _INTRODUCTIONS for match in pattern.finditer(text)):
        whole = match.group("name")
        first = whole.split(" ", 1)[0]
        if _folded(first) not in _NOT_NAMES:
            names += [whole, first, first.capitalize()]
    return list(dict.fromkeys(names))


def _between(text: str, found: list[Found]) -> Iterator[tuple[int, str]]:
    """The stretches of `text` that are neither replaced already nor replacements of an earlier redaction."""
    taken = sorted([(item.start, item.end) for item in found] + [match.span() for match in _TOKEN.finditer(text)])
    position = 0
    for start, end in taken:
        if start > position:
            yield position, text[position:start]
        position = max(position, end)
    if position < len(text):
        yield position, text[position:]


def _folded(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name.strip().removeprefix("@"))
    return "".join(c for c in decomposed if not unicodedata.combining(c)).casefold()
