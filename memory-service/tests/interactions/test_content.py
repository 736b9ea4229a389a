"""Which exchanges count as the same."""

import string

from hypothesis import given
from hypothesis import strategies as st
from memory_service.interactions.content import content_hash, normalise

texts = st.text(max_size=60)
words = st.lists(st.text(string.ascii_letters + "áéíñ¿?!", min_size=1, max_size=8), max_size=6)


@given(texts)
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(words, words, st.sampled_from([" ", "\n", "\t", "  ", "\u00a0"]))
def test_letter_case_and_kind_of_space_do_not_make_another_exchange(
    said: list[str], answered: list[str], space: str
) -> None:
    plain = content_hash(" ".join(said), " ".join(answered))
    assert content_hash(space.join(said).upper().lower(), f" {space.join(answered)}\n") == plain


@given(texts, texts)
def test_what_moves_between_the_sides_makes_another_exchange(said: str, answered: str) -> None:
    first, second = normalise(said), normalise(answered)
    if first != second:
        assert content_hash(said, answered) != content_hash(answered, said)
    if first:
        assert content_hash(said, "") != content_hash("", said)


def test_the_hash_is_pinned() -> None:
    """Manifests of old datasets carry it, so it must never change: the SHA-256 of `¿qué haces?\\n*suspiro* nada.`"""
    pinned = "b5f1e452470f6ad818abf8036e00f7c19cba9b1f6557222cfcceccad2137adfe"
    assert content_hash("¿Qué  HACES?", "*suspiro* Nada.\n").hex() == pinned
    assert content_hash("¿que\u0301 haces?", "*suspiro* nada.").hex() == pinned
