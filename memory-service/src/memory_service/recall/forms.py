"""The question's words in every form that stored texts are indexed under, as text queries of PostgreSQL.

A statement of its own (0.6 ms), because an encrypted store has keyed tokens in its index instead of words, and only the
service can make those.
"""

from dataclasses import dataclass
from importlib.resources import files

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.encryption.blind_index import index_cipher, queries_for

_FORMS = text((files(__package__) / "forms.sql").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Form:
    """A word as a reader knows it, and the text query that finds one of its forms."""

    word: str
    query: str


async def forms(connection: AsyncConnection, question: str) -> list[Form]:
    """The forms of `question`'s words, in a fixed order; none for a question without words."""
    if not question:
        return []
    cipher = index_cipher(connection)
    rows = (await connection.execute(_FORMS, {"question": question})).all()
    return [Form(row.word, queries_for(cipher, row.owner_id, row.lexeme)) for row in rows]
