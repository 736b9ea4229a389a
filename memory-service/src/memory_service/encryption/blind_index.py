"""Keyed tokens in place of words: what is encrypted stays findable by the words it says.

PostgreSQL reduces a text to its terms (`f_terms`; the text passes through as a parameter and is not kept), and each term
becomes a token. How often a term occurs is kept, for ranking; the order of words is not. That a text asks something or
tells a time (`@asks`, `@when`) is kept in the clear; who speaks in it is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.encryption.cipher import Cipher
from memory_service.encryption.types import cipher_of

# PostgreSQL keeps at most 255 positions of a lexeme.
_POSITIONS = 255
# Record separator: no word, and marks of a side are looked for after it (f_marks).
_BETWEEN_SIDES = "\x1e"
_CLEAR = frozenset({"@asks", "@when"})
_TERMS = text("""
    SELECT place, whole.term, whole.times, coalesce(ending.times, 0) AS end_times
    FROM unnest(:texts) WITH ORDINALITY AS given (said, place)
    CROSS JOIN LATERAL f_terms(said) AS whole
    LEFT JOIN LATERAL f_terms(f_end(said)) AS ending ON ending.term = whole.term AND NOT starts_with(whole.term, '@')
    ORDER BY place, term
""").bindparams(bindparam("texts", type_=ARRAY(TEXT)))


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a text and of its end, as PostgreSQL reads a tsvector; None where texts are not encrypted."""

    blind: str | None = None
    blind_end: str | None = None


def both_sides(*sides: str) -> str:
    """The sides of an exchange as one text for the index, an empty one left out."""
    return _BETWEEN_SIDES.join(side for side in sides if side)


def index_cipher(connection: AsyncConnection) -> Cipher | None:
    """The cipher of this connection's database, if its texts are encrypted."""
    cipher = cipher_of(connection.dialect)
    return cipher if isinstance(cipher, Cipher) else None


async def blind_tokens(connection: AsyncConnection, owner: str, texts: Sequence[str]) -> list[Tokens]:
    """The tokens of each of `texts`."""
    cipher = index_cipher(connection)
    if cipher is None:
        return [Tokens()] * len(texts)
    whole: list[list[str]] = [[] for _ in texts]
    ending: list[list[str]] = [[] for _ in texts]
    rows: Any = await connection.execute(_TERMS, {"texts": list(texts)})
    for row in rows:
        token = token_of(cipher, owner, row.term)
        whole[row.place - 1].append(_counted(token, row.times))
        if row.end_times:
            ending[row.place - 1].append(_counted(token, row.end_times))
    return [Tokens(" ".join(one), " ".join(end)) for one, end in zip(whole, ending, strict=True)]


def _counted(token: str, times: int) -> str:
    positions = ",".join(str(number) for number in range(1, min(times, _POSITIONS) + 1))
    return f"'{token}':{positions}"


def token_of(cipher: Cipher, owner: str, term: str) -> str:
    """What stands for `term` in the index of an encrypted store."""
    return term if term in _CLEAR else cipher.blind(owner, term)


def searched_terms(cipher: Cipher | None, owner: str, term: str) -> list[str]:
    """What to look for in the index: the term as it stands and, in an encrypted store, also its token.

    Both, because rows written before the key was set hold plain terms until `casiopy reencrypt` has come to them.
    """
    return [term] if cipher is None else [term, token_of(cipher, owner, term)]
