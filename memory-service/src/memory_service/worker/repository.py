"""What embedding reads and writes, the same for interactions and typed memories."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import TEXT, bindparam, cast, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.embeddings.sources import Source
from memory_service.ids import make_id
from memory_service.models import Embedding


async def waiting(connection: AsyncConnection, source: Source, asked: Sequence[UUID], batch: int) -> Sequence[Row[Any]]:
    """The rows asked for that still wait, filled up to `batch` with the owner's oldest waiting rows.

    Many small jobs become one batch so, and a job whose rows went with an earlier batch finds nothing.
    """
    table = source.table
    is_pending, is_asked = table.embedding_status == "pending", table.id.in_(asked)
    any_left = select(table.id).where(is_asked, is_pending).correlate(None).exists()
    statement = select(table.id, *source.columns).where(is_pending, any_left)
    return (await connection.execute(statement.order_by(is_asked.desc(), table.id).limit(batch))).all()


async def pending(connection: AsyncConnection, source: Source, most: int) -> Sequence[UUID]:
    """The owner's oldest rows without a vector."""
    table = source.table
    statement = select(table.id).where(table.embedding_status == "pending").order_by(table.id).limit(most)
    return (await connection.scalars(statement)).all()


async def store(connection: AsyncConnection, source: Source, vectors: Mapping[UUID, str], model_id: int | None) -> None:
    """Keep `vectors` (as PostgreSQL reads them) by the row they belong to.

    Rows deleted in the meantime are left out; rows that got their vector in the meantime keep it.
    """
    table = source.table
    statement = select(table.id, table.owner_id, table.user_id).where(table.id.in_(vectors))
    alive = (await connection.execute(statement.with_for_update(read=True, key_share=True))).all()
    rows = [
        {
            "id": make_id(),
            "owner_id": row.owner_id,
            "user_id": row.user_id,
            source.vector_of.key: row.id,
            "model_id": model_id,
            "vector": vectors[row.id],
        }
        for row in alive
    ]
    if rows:
        as_vector = cast(bindparam("vector", type_=TEXT), HALFVEC())
        await connection.execute(insert(Embedding).values(embedding=as_vector).on_conflict_do_nothing(), rows)


async def settle(
    connection: AsyncConnection, source: Source, ids: Sequence[UUID], status: Literal["done", "failed"]
) -> None:
    """Nothing is pending any more for these rows."""
    if ids:
        table = source.table
        await connection.execute(update(table).where(table.id.in_(ids)).values(embedding_status=status))
