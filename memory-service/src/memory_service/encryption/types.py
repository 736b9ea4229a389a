"""Column types whose content is encrypted at rest when ENCRYPTION_KEY is set, and plain otherwise.

The cipher hangs on the engine's dialect (`Database` puts it there), so that no statement needs to know of it. A plain text
that looks like an encrypted one is marked on its way in, and comes out as it was.
"""

import json
from typing import Any, Protocol

from sqlalchemy import Dialect, LargeBinary, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator

# What stored texts begin with: encrypted ones, and plain ones that would be taken for marked ones.
ENCRYPTED, ESCAPED = "enc1~", "enc0~"
# A JSON value is stored as an object with this one field.
SEALED_FIELD = "$encrypted"


class TextCipher(Protocol):
    """What the column types ask for."""

    def encrypt(self, plain: str) -> str:
        """ASCII text that only the key's holder can read."""
        ...

    def decrypt(self, sealed: str) -> str:
        """The text behind `sealed`.

        Raises:
            UnreadableText: no configured key fits.
        """
        ...


class UnreadableText(ValueError):
    """A stored text is encrypted under a key that is not configured."""


def cipher_of(dialect: Dialect) -> TextCipher | None:
    """The cipher of the database behind `dialect`, if texts are encrypted."""
    cipher: TextCipher | None = getattr(dialect, "text_cipher", None)
    return cipher


def seal(plain: str, cipher: TextCipher | None) -> str:
    """`plain` as it is stored; an empty text has nothing to hide."""
    if cipher is not None and plain:
        return ENCRYPTED + cipher.encrypt(plain)
    return ESCAPED + plain if plain.startswith((ENCRYPTED, ESCAPED)) else plain


def unseal(stored: str, cipher: TextCipher | None) -> str:
    """The text behind `stored`, whichever way it was written.

    Raises:
        UnreadableText: it is encrypted and no configured key fits.
    """
    if stored.startswith(ESCAPED):
        return stored.removeprefix(ESCAPED)
    if not stored.startswith(ENCRYPTED):
        return stored
    if cipher is None:
        raise UnreadableText(
            "a text is encrypted and no key is configured: set ENCRYPTION_KEY to the one it was written with"
        )
    return cipher.decrypt(stored.removeprefix(ENCRYPTED))


class EncryptedText(TypeDecorator[str]):
    """A text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """On the way in."""
        return None if value is None else seal(value, cipher_of(dialect))

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """On the way out."""
        return None if value is None else unseal(value, cipher_of(dialect))


class EncryptedJSON(TypeDecorator[Any]):
    """Any JSON value; SQL cannot look into it."""

    impl = JSONB(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """On the way in."""
        if value is None or value in ({}, []):
            return value
        cipher = cipher_of(dialect)
        if cipher is None and not (isinstance(value, dict) and SEALED_FIELD in value):
            return value
        written = json.dumps(value, ensure_ascii=False)
        return {SEALED_FIELD: ESCAPED + written if cipher is None else seal(written, cipher)}

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """On the way out."""
        if not (isinstance(value, dict) and SEALED_FIELD in value):
            return value
        return json.loads(unseal(value[SEALED_FIELD], cipher_of(dialect)))


class EncryptedBytes(TypeDecorator[bytes]):
    """UTF-8 bytes, such as a JSON answer."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> bytes | None:
        """On the way in."""
        return None if value is None else seal(value.decode(), cipher_of(dialect)).encode()

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> bytes | None:
        """On the way out."""
        return None if value is None else unseal(value.decode(), cipher_of(dialect)).encode()
