"""Core memory as a system prompt. Pure: the same entries always give the same text, so its hash can be recorded."""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Protocol

# Who she is comes first, what she must not do comes last and so stays freshest in a model's mind.
_ORDER = ("identity", "personality", "speech_style", "like", "dislike", "friend", "lore", "goal", "boundary")
_TITLES = {
    "es": {
        "identity": "Quién eres",
        "personality": "Cómo eres",
        "speech_style": "Cómo hablas",
        "like": "Lo que te gusta",
        "dislike": "Lo que no soportas",
        "friend": "Tu gente",
        "lore": "Tu mundo",
        "goal": "Lo que te propones",
        "boundary": "Tus límites",
    },
    "en": {
        "identity": "Who you are",
        "personality": "What you are like",
        "speech_style": "How you speak",
        "like": "What you like",
        "dislike": "What you cannot stand",
        "friend": "Your people",
        "lore": "Your world",
        "goal": "What you are after",
        "boundary": "Your limits",
    },
}


class Entry(Protocol):
    """The fields of a core memory row that the prompt needs."""

    @property
    def category(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def value(self) -> str: ...


def _rank(entry: Entry) -> tuple[int, str]:
    known = _ORDER.index(entry.category) if entry.category in _ORDER else len(_ORDER) - 1.5
    return int(known * 2), entry.category


def _title(category: str, language: str) -> str:
    return _TITLES.get(language, {}).get(category) or category.replace("_", " ").capitalize()


def render(entries: Iterable[Entry], language: str) -> str:
    """A heading per category, a line per entry, in the order of `entries` within each category.

    Categories the product does not know stand before the limits, under their own name. No entries give an empty text.
    """
    ordered: Sequence[Entry] = sorted(entries, key=_rank)
    sections = []
    for category, group in groupby(ordered, key=lambda entry: entry.category):
        lines = "\n".join(f"- {entry.value.strip()}" for entry in group)
        sections.append(f"# {_title(category, language)}\n{lines}")
    return "\n\n".join(sections)


def sha256(prompt: str) -> str:
    """Hex digest under which manifests record a prompt."""
    return hashlib.sha256(prompt.encode("utf-8")).hexdigest()
