"""A character card as the role-play programs exchange it: JSON or PNG, versions 1 to 3.

Sources: the specifications chara_card_v2 (Bot-Ahriman) and chara_card_v3 (kwaroran). A PNG carries the JSON in base64 in a
text chunk called `chara` (versions 1 and 2) or `ccv3` (version 3); where there are both, the newer one is read.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_training.probes.errors import ProbesError

_PNG = b"\x89PNG\r\n\x1a\n"
_CHUNKS = ("ccv3", "chara")
_START = re.compile(r"^\s*<START>\s*$", re.IGNORECASE | re.MULTILINE)
_CHAR, _USER = re.compile(r"\{\{char\}\}|<BOT>", re.IGNORECASE), re.compile(r"\{\{user\}\}|<USER>", re.IGNORECASE)
# "Mika, {{user}}!" loses the name with its comma, so that the sentence still reads.
_VOCATIVE = re.compile(r",\s*(?:\{\{user\}\}|<USER>)", re.IGNORECASE)

# JSON can write half of a character that needs two escapes ("\\ud83d"); no UTF-8 file can hold it.
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Card:
    """What a card says of a character, its placeholders filled in.

    Attributes:
        name: as the card gives it.
        facts: description, personality and scenario, and the entries of its lorebook: plain texts.
        greetings: what the character says first, every alternative once.
        exchanges: pairs of what a viewer says and what the character answers, from the example dialogues.
    """

    name: str
    facts: tuple[str, ...]
    greetings: tuple[str, ...]
    exchanges: tuple[tuple[str, str], ...]

    @property
    def replies(self) -> tuple[str, ...]:
        """Everything the character says on the card, in order."""
        return (*self.greetings, *(reply for _, reply in self.exchanges))


def read_card(path: Path, viewer: str) -> Card:
    """Read a card; `viewer` is a word that stands in for the person spoken to.

    Raises:
        ProbesError: the file cannot be read, or is no character card.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ProbesError(f"The card {path} cannot be read: {error.strerror}.") from error
    text = _from_png(path) if content.startswith(_PNG) else _utf8(path, content)
    try:
        raw = json.loads(text)
    except RecursionError:
        raise ProbesError(f"{path} is no character card: it is nested too deeply. Export the card again.") from None
    except ValueError as error:
        raise ProbesError(
            f"{path} is no character card: not JSON ({error}). Export the card again as PNG or JSON."
        ) from None
    data = raw.get("data", raw) if isinstance(raw, dict) else None
    if not isinstance(data, dict) or not isinstance(data.get("name"), str) or not data["name"].strip():
        raise ProbesError(f"{path} is no character card: it has no name. Export the card again as PNG or JSON.")
    return _card(data, viewer)


def _utf8(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProbesError(f"{path} is neither a PNG nor UTF-8 JSON ({error}). Export the card again.") from None


def _from_png(path: Path) -> str:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()  # text may follow the pixels
            texts = dict(image.text)  # type: ignore[attr-defined]
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ProbesError(f"The picture {path} is damaged ({error}). Export the card again.") from None
    for chunk in _CHUNKS:
        if chunk in texts:
            try:
                return base64.b64decode(texts[chunk], validate=False).decode("utf-8")
            except (binascii.Error, UnicodeDecodeError) as error:
                raise ProbesError(f"The card inside {path} is damaged ({error}). Export it again.") from None
    raise ProbesError(
        f"{path} is a picture without a card in it. Programs that resave pictures drop it: use the original."
    )


def _card(data: dict[str, Any], viewer: str) -> Card:
    name = str(data["name"]).strip()

    def filled(value: object) -> str:
        text = _HALF_CHARACTER.sub("", str(value or "").replace("\r\n", "\n"))
        text = _VOCATIVE.sub("", text)
        return _USER.sub(viewer, _CHAR.sub(name, text)).strip()

    book = data.get("character_book")
    entries = book.get("entries", []) if isinstance(book, dict) else []
    lore = [entry.get("content") for entry in entries if isinstance(entry, dict) and entry.get("enabled", True)]
    facts = [filled(data.get(key)) for key in ("description", "personality", "scenario")] + [
        filled(one) for one in lore
    ]
    alternatives = data.get("alternate_greetings")
    greetings = [data.get("first_mes"), *(alternatives if isinstance(alternatives, list) else [])]
    return Card(
        name=name,
        facts=tuple(text for text in facts if text),
        greetings=tuple(dict.fromkeys(text for one in greetings if (text := filled(one)))),
        exchanges=tuple(
            (filled(asked), filled(replied)) for asked, replied in _examples(str(data.get("mes_example") or ""), name)
        ),
    )


def _examples(text: str, name: str) -> list[tuple[str, str]]:
    """The pairs of a viewer's line and the character's answer to it."""
    speaker = re.compile(
        rf"^\s*(?:(\{{\{{user\}}\}}|<USER>|user)|(\{{\{{char\}}\}}|<BOT>|{re.escape(name)}))\s*:\s*", re.I
    )
    pairs: list[tuple[str, str]] = []
    for scene in _START.split(text.replace("\r\n", "\n")):
        turns: list[tuple[str, str]] = []
        for line in scene.split("\n"):
            begins = speaker.match(line)
            if begins:
                turns.append(("user" if begins[1] else "char", line[begins.end() :]))
            elif turns:
                turns[-1] = (turns[-1][0], f"{turns[-1][1]}\n{line}")
        for (who, asked), (answers, replied) in itertools.pairwise(turns):
            if (who, answers) == ("user", "char") and asked.strip() and replied.strip():
                pairs.append((asked, replied))
    return pairs
