"""The cipher behind ENCRYPTION_KEY: texts under the newest of several Fernet keys, words as keyed tokens. Pure.

Fernet (AES-128-CBC with HMAC-SHA256) and its rotation are the `cryptography` package's. Words are found again by tokens:
HMAC-SHA256 of owner and word, under a key of their own that is stored sealed, so that a new ENCRYPTION_KEY changes none.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from memory_service.encryption.types import UnreadableText

# 128 bits: no two words of a memory meet by chance.
_TOKEN_BYTES = 16
_INDEX_KEY_BYTES = 32


def parse_keys(text: str) -> list[str]:
    """The Fernet keys in ENCRYPTION_KEY, newest first.

    Raises:
        ValueError: one is not a Fernet key; the message says which one and how to make one.
    """
    keys = [part.strip() for part in text.split(",") if part.strip()]
    if not keys:
        raise ValueError("ENCRYPTION_KEY holds no key. `casiopy encryption-key` makes one")
    for number, key in enumerate(keys, 1):
        try:
            Fernet(key)
        except ValueError:
            which = "" if len(keys) == 1 else f" {number} of {len(keys)}"
            raise ValueError(
                f"ENCRYPTION_KEY: key{which} is not a Fernet key (32 bytes in URL-safe base64). "
                "`casiopy encryption-key` makes one"
            ) from None
    return keys


class Cipher:
    """Encrypts under the first of `keys`, decrypts under any of them.

    Raises:
        ValueError: a key is not a Fernet key.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        fernets = [Fernet(key) for key in keys]
        self._newest = fernets[0]
        self._any = MultiFernet(fernets)
        self._index_key: bytes | None = None

    def encrypt(self, plain: str) -> str:
        """`plain` as a Fernet token (ASCII)."""
        return self._any.encrypt(plain.encode()).decode("ascii")

    def decrypt(self, sealed: str) -> str:
        """The text in a Fernet token.

        Raises:
            UnreadableText: no configured key fits, or the token was tampered with.
        """
        return self._open(self._any, sealed)

    def is_newest(self, sealed: str) -> bool:
        """Whether the token was made under the first key."""
        try:
            self._open(self._newest, sealed)
        except UnreadableText:
            return False
        return True

    @staticmethod
    def _open(fernet: Fernet | MultiFernet, sealed: str) -> str:
        try:
            return fernet.decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise UnreadableText(
                "a stored text cannot be decrypted: no key in ENCRYPTION_KEY fits. Add the key it was written with"
            ) from None

    def sealed_index_key(self) -> str:
        """The index key as it is stored; a random one is made first where there is none."""
        if self._index_key is None:
            self._index_key = secrets.token_bytes(_INDEX_KEY_BYTES)
        return self.encrypt(self._index_key.hex())

    def open_index_key(self, sealed: str) -> None:
        """Use the stored index key.

        Raises:
            UnreadableText: it is sealed under a key that is not configured.
        """
        self._index_key = bytes.fromhex(self.decrypt(sealed))

    def blind(self, owner: str, lexeme: str) -> str:
        """The token that stands for a word form of `owner`'s texts: 32 hexadecimal digits.

        Raises:
            RuntimeError: the index key has not been opened.
        """
        if self._index_key is None:
            raise RuntimeError("the index key is not open: the database was not unlocked")
        mac = hmac.new(self._index_key, f"{owner}\0{lexeme}".encode(), hashlib.sha256)
        return mac.digest()[:_TOKEN_BYTES].hex()
