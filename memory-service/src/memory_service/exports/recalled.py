"""The memories an exchange was answered with, line by line, each with where it is from. Pure.

A line whose source is unknown is never taught: it may repeat somebody who has been erased since, and nobody could tell.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

_LINE = re.compile(r"^- .*\S", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a memory block, `- ` included; `sources` are the memories and exchanges it tells."""

    text: str
    sources: tuple[str, ...]


def recalled_lines(metadata: Mapping[str, Any]) -> list[Line]:
    """The lines of `memory_block` of which `memory_ids` says where they are from.

    `memory_ids` has one entry a line: an id, a list of ids, or null. Where it does not fit the block, no line is traceable.
    """
    block, given = metadata.get("memory_block"), metadata.get("memory_ids")
    if not isinstance(block, str) or not isinstance(given, list):
        return []
    texts = _LINE.findall(block)
    if len(texts) != len(given):
        return []
    lines = [Line(text, _ids(entry)) for text, entry in zip(texts, given, strict=True)]
    return [line for line in lines if line.sources]


def untraceable(metadata: Mapping[str, Any]) -> bool:
    """Whether the exchange was answered with memories of which none can be traced."""
    return bool(metadata.get("memory_block")) and not recalled_lines(metadata)


def fingerprint(metadata: Mapping[str, Any]) -> int:
    """64 bits that tell one block from another; 0 without a traceable one."""
    lines = recalled_lines(metadata)
    if not lines:
        return 0
    said = "\n".join(f"{line.text}\x00{','.join(line.sources)}" for line in lines)
    return int.from_bytes(hashlib.sha256(said.encode()).digest()[:8])


def tellable(metadata: Mapping[str, Any], there: Collection[str]) -> list[Line]:
    """The traceable lines all of whose sources are still there and may be learned from."""
    return [line for line in recalled_lines(metadata) if all(source in there for source in line.sources)]


def _ids(entry: object) -> tuple[str, ...]:
    given: Sequence[object] = entry if isinstance(entry, list) else [entry]
    try:
        return tuple(str(UUID(one)) for one in given if isinstance(one, str))
    except ValueError:
        return ()
