"""The rules mode's grammar. Pure.

    statement = type ":" key "=" value
    type      = "fact" | "preference" | "event" | "system"        (any letter case)
    key       = 1 to 255 characters, none of them "=" or a line break
    value     = JSON (a number, true, false, a quoted string, a list, an object), or else the text itself

White space around each part does not count: `preference: theme = dark` says the same as `preference:theme=dark`. A content
that is not one such statement has nothing to extract, and is stored as it stands.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, cast

from memory_service.memories.profile import MAX_KEY, MemoryType

_STATEMENT = re.compile(r"\s*(fact|preference|event|system)\s*:([^=\r\n]{1,300})=(.*)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Statement:
    """What a content says: `preference:theme=dark` is a preference with the key `theme` and the value "dark"."""

    type: MemoryType
    key: str
    value: Any


def parse(content: str) -> Statement | None:
    """The statement that `content` is; None when it is none."""
    found = _STATEMENT.fullmatch(content)
    if found is None:
        return None
    key, text = found[2].strip(), found[3].strip()
    if not 1 <= len(key) <= MAX_KEY or not text:
        return None
    return Statement(cast(MemoryType, found[1].lower()), key, _value(text))


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")
