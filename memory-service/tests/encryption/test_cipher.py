"""Sealing and opening texts, and the tokens words become."""

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from memory_service.encryption.cipher import Cipher, parse_keys
from memory_service.encryption.types import ENCRYPTED, ESCAPED, UnreadableText, seal, unseal

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
CIPHER = Cipher([NEW])

TEXTS = st.text() | st.builds(str.__add__, st.sampled_from([ENCRYPTED, ESCAPED, ENCRYPTED + ESCAPED]), st.text())


@given(TEXTS, st.sampled_from([None, CIPHER]))
def test_what_goes_in_comes_out(plain: str, cipher: Cipher | None) -> None:
    stored = seal(plain, cipher)
    assert unseal(stored, cipher) == plain
    assert unseal(stored, CIPHER) == plain
    if cipher is not None and plain:
        assert stored.startswith(ENCRYPTED)
        assert stored.isascii()


@given(st.text(min_size=1))
def test_a_key_that_is_not_there_is_said(plain: str) -> None:
    stored = seal(plain, CIPHER)
    for cipher in (None, Cipher([OLD])):
        with pytest.raises(UnreadableText, match="ENCRYPTION_KEY"):
            unseal(stored, cipher)


def test_a_touched_text_does_not_open() -> None:
    stored = seal("secret", CIPHER)
    flipped = stored[:-8] + ("A" if stored[-8] != "A" else "B") + stored[-7:]
    with pytest.raises(UnreadableText):
        unseal(flipped, CIPHER)


def test_rotation_reads_the_old_and_writes_the_new() -> None:
    before, between = Cipher([OLD]), Cipher([NEW, OLD])
    sealed = before.encrypt("text")
    assert between.decrypt(sealed) == "text"
    assert (between.is_newest(sealed), between.is_newest(between.encrypt("text"))) == (False, True)
    assert CIPHER.decrypt(between.encrypt("text")) == "text"


def test_tokens_belong_to_an_owner_and_survive_rotation() -> None:
    before = Cipher([OLD])
    sealed = before.sealed_index_key()
    between = Cipher([NEW, OLD])
    between.open_index_key(sealed)
    after = Cipher([NEW])
    after.open_index_key(between.sealed_index_key())
    assert before.blind("me", "gat") == after.blind("me", "gat")
    assert len({after.blind(owner, word) for owner in ("me", "you") for word in ("gat", "perr")}) == 4
    assert len(after.blind("me", "gat")) == 32
    with pytest.raises(UnreadableText):
        Cipher([NEW]).open_index_key(sealed)
    with pytest.raises(RuntimeError, match="unlocked"):
        Cipher([NEW]).blind("me", "gat")


@pytest.mark.parametrize(("text", "said"), [("x", "not a Fernet key"), ("{}, oops", "key 2 of 2"), (" , ", "no key")])
def test_wrong_keys_are_told_apart(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        parse_keys(text.format(NEW))
    assert "casiopy encryption-key" in str(caught.value)
    assert NEW not in str(caught.value)


def test_several_keys_are_taken_in_their_order() -> None:
    assert parse_keys(f" {NEW} ,{OLD},") == [NEW, OLD]
