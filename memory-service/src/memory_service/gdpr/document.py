"""How what is held of a viewer is written: one JSON document, or one JSON object a line. Pure."""

import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic_core import to_json

Format = Literal["json", "ndjson"]
MEDIA_TYPES: Mapping[Format, str] = {"json": "application/json", "ndjson": "application/x-ndjson"}
# Sent at once: far above what one send costs, far below what a machine notices.
_CHUNK_BYTES = 65_536
_NOT_FOR_FILE_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Section:
    """A list in the document.

    Attributes:
        name: the list's name.
        kind: what one item is called on a line of its own.
        single: the section is one object, or null.
    """

    name: str
    kind: str
    single: bool = False


Item = tuple[Section, Mapping[str, Any]]


def file_name(user_id: str, format: Format) -> str:
    """A name for the download that is safe in a header and on every file system, whatever the viewer's id."""
    plain = _NOT_FOR_FILE_NAMES.sub("_", user_id).strip("._-")[:80]
    return f"casiopy-{plain or 'viewer'}.{format}"


async def as_document(
    head: Mapping[str, Any], sections: Sequence[Section], items: AsyncIterator[Item]
) -> AsyncIterator[bytes]:
    """One JSON object: the fields of `head`, then the sections in their order. `items` must come in that order, too."""
    yield to_json(head)[:-1]
    left = list(sections)
    opened: Section | None = None
    async for section, item in items:
        if section is opened:
            yield b"," + to_json(item)
            continue
        yield _closing(opened)
        while left[0] is not section:
            yield _empty(left.pop(0))
        opened = left.pop(0)
        yield _opening(opened) + to_json(item)
    yield _closing(opened) + b"".join(_empty(section) for section in left) + b"}\n"


def _opening(section: Section) -> bytes:
    return f",{json.dumps(section.name)}:{'' if section.single else '['}".encode()


def _closing(section: Section | None) -> bytes:
    return b"" if section is None or section.single else b"]"


def _empty(section: Section) -> bytes:
    return _opening(section) + (b"null" if section.single else b"]")


async def as_lines(head: Mapping[str, Any], items: AsyncIterator[Item]) -> AsyncIterator[bytes]:
    """One object a line; `kind` says what it is. The first is `head`, of the kind `export`."""
    yield to_json({"kind": "export", **head}) + b"\n"
    async for section, item in items:
        yield to_json({"kind": section.kind, **item}) + b"\n"


async def in_chunks(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in fewer, larger pieces."""
    waiting = bytearray()
    async for piece in pieces:
        waiting += piece
        if len(waiting) >= _CHUNK_BYTES:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)
