"""What embedding reads and writes, the same for interactions and typed memories."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import TEXT, and_, bindparam, cast, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.embeddings.sources import Source
from memory_service.models import Embedding, RecallDocument


async def waiting(
    connection: AsyncConnection, source: Source, asked: Sequence[UUID], busy: Collection[UUID], batch: int
) -> Sequence[Row[Any]]:
    """The rows asked for that still wait, filled up to `batch` with the owner's oldest waiting rows; not those in `busy`.

    Many small jobs become one batch so, and a job whose rows went with an earlier batch finds nothing.
    """
    table = source.table
    is_pending = and_(table.embedding_status == "pending", table.id.not_in(busy))
    is_asked = table.id.in_(asked)
    any_left = select(table.id).where(is_asked, is_pending).correlate(None).exists()
    statement = select(table.id, *source.columns).where(is_pending, any_left)
    return (await connection.execute(statement.order_by(is_asked.desc(), table.id).limit(batch))).all()


async def pending(connection: AsyncConnection, source: Source, most: int) -> Sequence[UUID]:
    """The owner's oldest rows without a vector."""
    table = source.table
    statement = select(table.id).where(table.embedding_status == "pending").order_by(table.id).limit(most)
    return (await connection.scalars(statement)).all()


async def store(
    connection: AsyncConnection, source: Source, vectors: Mapping[UUID, Sequence[str]], model_id: int | None
) -> None:
    """Keep `vectors` (as PostgreSQL reads them) by the row they belong to, the whole text's first, then its passages'.

    Rows deleted in the meantime are left out; rows that got their vectors in the meantime keep them.
    """
    # Rows before their documents, as a deletion goes: the other way round the two would wait for each other.
    table = source.table
    await connection.execute(
        select(table.id).where(table.id.in_(vectors)).order_by(table.id).with_for_update(key_share=True)
    )
    statement = select(
        RecallDocument.id, RecallDocument.owner_id, RecallDocument.user_id, source.document_of.label("row")
    )
    statement = statement.where(source.document_of.in_(vectors)).with_for_update(read=True, key_share=True)
    rows = [
        {
            "owner_id": document.owner_id,
            "user_id": document.user_id,
            "document_id": document.id,
            "model_id": model_id,
            "part": part,
            "vector": vector,
        }
        for document in (await connection.execute(statement)).all()
        for part, vector in enumerate(vectors[document.row])
    ]
    if rows:
        as_vector = cast(bindparam("vector", type_=TEXT), HALFVEC())
        await connection.execute(insert(Embedding).values(embedding=as_vector).on_conflict_do_nothing(), rows)


async def settle(
    connection: AsyncConnection, source: Source, ids: Sequence[UUID], status: Literal["pending", "done", "failed"]
) -> None:
    """Nothing is pending any more for these rows."""
    if ids:
        table = source.table
        await connection.execute(update(table).where(table.id.in_(ids)).values(embedding_status=status))
