"""Vectors on their way into PostgreSQL."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.engine import Row

from memory_service.embeddings.embedder import EMBEDDING_ERRORS, Vectors
from memory_service.embeddings.sources import Source
from memory_service.embeddings.texts import embedded_texts

log = logging.getLogger(__name__)


def vector_text(vector: Sequence[float]) -> str:
    """A vector as pgvector reads it. Half precision keeps three to four digits; six are plenty."""
    return "[" + ",".join(f"{number:.6g}" for number in vector) + "]"


async def vectors_of(
    source: Source, rows: Sequence[Row[Any]], embed: Callable[[Sequence[str]], Awaitable[Vectors]]
) -> tuple[dict[UUID, list[str]], list[UUID]]:
    """Vectors by row (all of it, then its passages), as PostgreSQL reads them; and the rows that cannot be embedded.

    Rows that cannot be embedded together are tried by halves, so that one bad text spoils no other.
    """
    texts = [embedded_texts(source.text(row)) for row in rows]
    try:
        made = await embed([one for some in texts for one in some])
    except EMBEDDING_ERRORS:
        if len(rows) == 1:
            log.exception(
                "The text of %s in %s cannot be embedded; its embedding_status becomes 'failed'",
                rows[0].id,
                source.name,
            )
            return {}, [rows[0].id]
        half = len(rows) // 2
        left, right = [await vectors_of(source, part, embed) for part in (rows[:half], rows[half:])]
        return left[0] | right[0], left[1] + right[1]
    vectors = iter(made.tolist())
    return {row.id: [vector_text(next(vectors)) for _ in some] for row, some in zip(rows, texts, strict=True)}, []
