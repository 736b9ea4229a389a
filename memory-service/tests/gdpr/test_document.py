"""What is written is one valid document, whatever is held and however it is asked for."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_service.gdpr.document import Item, Section, as_document, as_lines, file_name, in_chunks

SECTIONS = (Section("user", "user", single=True), Section("sessions", "session"), Section("used", "used", single=True))
OBJECTS = st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(max_size=20), max_size=3)


async def _items(found: list[Item]) -> AsyncIterator[Item]:
    for item in found:
        yield item


async def _joined(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


@given(user=st.none() | OBJECTS, sessions=st.lists(OBJECTS, max_size=4), used=st.none() | OBJECTS, head=st.text())
async def test_the_document_says_what_was_found(
    user: dict[str, Any] | None, sessions: list[dict[str, Any]], used: dict[str, Any] | None, head: str
) -> None:
    found: list[Item] = [(SECTIONS[0], user)] if user is not None else []
    found += [(SECTIONS[1], session) for session in sessions]
    found += [(SECTIONS[2], used)] if used is not None else []
    document = json.loads(await _joined(in_chunks(as_document({"user_id": head}, SECTIONS, _items(found)))))
    assert document == {"user_id": head, "user": user, "sessions": sessions, "used": used}
    lines = (await _joined(in_chunks(as_lines({"user_id": head}, _items(found))))).decode().split("\n")
    assert [json.loads(line) for line in lines[:-1]] == [
        {"kind": "export", "user_id": head},
        *({"kind": section.kind, **item} for section, item in found),
    ]


async def test_chunks_are_the_same_bytes_in_fewer_pieces() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(5000):
            yield str(number).encode() * 10

    chunks = [chunk async for chunk in in_chunks(pieces())]
    assert b"".join(chunks) == await _joined(pieces())
    assert 1 < len(chunks) < 10


@pytest.mark.parametrize(
    ("user_id", "name"),
    [
        ("ana", "casiopy-ana.json"),
        ("twitch/ana?x=1", "casiopy-twitch_ana_x_1.json"),
        ('a"; filename="b\r\nX: y', "casiopy-a_filename_b_X_y.json"),
        ("../../etc/passwd", "casiopy-etc_passwd.json"),
        ("用户", "casiopy-viewer.json"),
        ("a" * 255, f"casiopy-{'a' * 80}.json"),
    ],
)
def test_the_file_name_is_safe(user_id: str, name: str) -> None:
    assert file_name(user_id, "json") == name
