"""Keyed tokens in place of words: what is encrypted stays findable by the words it says.

PostgreSQL reduces a text to its word forms (`f_lexemes`; the text passes through as a parameter and is not kept), and each
form becomes a token. How often a form occurs is kept, for ranking; the order of words is not.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.encryption.cipher import Cipher
from memory_service.encryption.types import cipher_of

# PostgreSQL keeps at most 255 positions of a lexeme.
_POSITIONS = 255
_FORMS = text("""
    SELECT place, lexeme, coalesce(cardinality(positions), 1) AS times
    FROM unnest(:texts) WITH ORDINALITY AS given (said, place), unnest(f_lexemes(said))
    ORDER BY place, lexeme
""").bindparams(bindparam("texts", type_=ARRAY(TEXT)))


def index_cipher(connection: AsyncConnection) -> Cipher | None:
    """The cipher of this connection's database, if its texts are encrypted."""
    cipher = cipher_of(connection.dialect)
    return cipher if isinstance(cipher, Cipher) else None


async def blind_tsvectors(connection: AsyncConnection, owner: str, texts: Sequence[str]) -> list[str | None]:
    """For each text its tokens as PostgreSQL reads a tsvector; None where texts are not encrypted."""
    cipher = index_cipher(connection)
    if cipher is None:
        return [None] * len(texts)
    forms: list[list[str]] = [[] for _ in texts]
    rows: Any = await connection.execute(_FORMS, {"texts": list(texts)})
    for row in rows:
        positions = ",".join(str(number) for number in range(1, min(row.times, _POSITIONS) + 1))
        forms[row.place - 1].append(f"'{cipher.blind(owner, row.lexeme)}':{positions}")
    return [" ".join(tokens) for tokens in forms]


async def blind_tsvector(connection: AsyncConnection, owner: str, said: str) -> str | None:
    """The same for one text."""
    return (await blind_tsvectors(connection, owner, [said]))[0]


def plain_query(lexeme: str) -> str:
    """A word form as a tsquery."""
    return "'" + lexeme.replace("\\", "\\\\").replace("'", "''") + "'"


def queries_for(cipher: Cipher | None, owner: str, lexeme: str) -> str:
    """A word form as a tsquery: as it stands and, in an encrypted store, also its token.

    Both, because rows written before the key was set hold plain words until `casiopy reencrypt` has come to them.
    """
    if cipher is None:
        return plain_query(lexeme)
    return f"'{cipher.blind(owner, lexeme)}' | {plain_query(lexeme)}"
