"""What the rules read a text as."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from memory_service.scoring.text import strip_accents


def _by_definition(text: str) -> str:
    letters = (c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    return unicodedata.normalize("NFC", "".join(letters))


@given(st.one_of(st.text(), st.text(st.characters(max_codepoint=0x17F)), st.text(st.characters(max_codepoint=0x7F))))
def test_accents_fall_and_nothing_else_changes(text: str) -> None:
    assert strip_accents(text) == _by_definition(text)
