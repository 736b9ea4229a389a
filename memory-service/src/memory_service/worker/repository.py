"""What embedding reads and writes, the same for interactions and typed memories."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any, Literal
from uuid import UUID

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    TEXT,
    Integer,
    Label,
    Select,
    all_,
    and_,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, Insert, insert
from sqlalchemy.dialects.postgresql import UUID as PGUUID
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import Update

from memory_service.embeddings.sources import Source
from memory_service.models import Embedding, RecallDocument

# Statements are composed once, and their ids are one array: PostgreSQL prepares them once, however many ids there are.
_IDS = ARRAY(PGUUID(as_uuid=True))


async def waiting(
    connection: AsyncConnection, source: Source, asked: Sequence[UUID], busy: Collection[UUID], batch: int
) -> Sequence[Row[Any]]:
    """The rows asked for that still wait, filled up to `batch` with the owner's oldest waiting rows; not those in `busy`.

    Many small jobs become one batch so, and a job whose rows went with an earlier batch finds nothing. `version` of a row
    is for `unchanged`.
    """
    given = {"asked": list(asked), "busy": list(busy), "batch": batch}
    return (await connection.execute(_waiting(source), given)).all()


@cache
def _waiting(source: Source) -> Select[*tuple[Any, ...]]:
    table = source.table
    batch = bindparam("batch", type_=Integer())
    asked = bindparam("asked", type_=_IDS)
    # As the index of what is pending says it, not as a parameter: a plan that is kept could not use the index.
    is_pending = and_(
        table.embedding_status == literal_column("'pending'"), table.id != all_(bindparam("busy", type_=_IDS))
    )
    is_asked = table.id == any_(asked)
    any_left = select(table.id).where(is_asked, is_pending).correlate(None).exists()
    # Ids first, each kind by its own index and no more than a batch of it: sorted all together, the whole backlog would be
    # read with its texts for every batch of it.
    first = select(table.id, literal_column("0", Integer()).label("turn")).where(is_asked, is_pending)
    others = select(table.id, literal_column("1", Integer()).label("turn")).where(
        is_pending, table.id != all_(asked), any_left
    )
    arms = [select(arm.order_by(table.id).limit(batch).subquery()) for arm in (first, others)]
    found = union_all(*arms).order_by("turn", "id").limit(batch).subquery()
    # As an array, the rows are looked up one by one, whatever the planner knows of the table.
    is_found = table.id == any_(func.array(select(found.c.id).scalar_subquery()))
    return select(table.id, version(source), *source.columns).where(is_found).order_by(is_asked.desc(), table.id)


def version(source: Source) -> Label[str]:
    """For `unchanged`: another one after every update of a row: the number of the transaction that wrote it."""
    return cast(literal_column(f"{source.table.__tablename__}.xmin"), TEXT).label("version")


async def unchanged(connection: AsyncConnection, source: Source, versions: Mapping[UUID, str]) -> set[UUID]:
    """Those of the rows that still are as they were read, and now stay so until the transaction ends.

    The others are gone, or may say something else by now: a human's word decides whether a reply counts.
    """
    given = {"rows": list(versions), "versions": list(versions.values())}
    return set(await connection.scalars(_unchanged(source), given))


@cache
def _unchanged(source: Source) -> Select[UUID]:
    table = source.table
    columns = (bindparam("rows", type_=_IDS), bindparam("versions", type_=ARRAY(TEXT)))
    read = func.unnest(*columns).table_valued("one", "version").render_derived(name="read")
    same = and_(table.id == read.c.one, version(source).element == read.c.version)
    # Locked in the order of their ids, as everybody locks several rows.
    return select(table.id).join_from(read, table, same).order_by(table.id).with_for_update(key_share=True, of=table)


async def pending(connection: AsyncConnection, source: Source, most: int) -> Sequence[UUID]:
    """The owner's oldest rows without a vector."""
    table = source.table
    statement = select(table.id).where(table.embedding_status == "pending").order_by(table.id).limit(most)
    return (await connection.scalars(statement)).all()


async def store(
    connection: AsyncConnection, source: Source, vectors: Mapping[UUID, Sequence[str]], model_id: int | None
) -> None:
    """Keep `vectors` (as PostgreSQL reads them) by the row they belong to, the whole text's first, then its passages'.

    Nothing is pending for these rows any more. Rows deleted in the meantime are left out; rows that got their vectors in
    the meantime keep them.
    """
    if not vectors:
        return
    # Rows before their documents, as a deletion goes: the other way round the two would wait for each other.
    await settle(connection, source, list(vectors), "done")
    await keep(connection, source, vectors, model_id)


async def keep(
    connection: AsyncConnection, source: Source, vectors: Mapping[UUID, Sequence[str]], model_id: int | None
) -> None:
    """As `store`, for rows that are locked already and wait for the active model as before."""
    parts = [(row, part, vector) for row, made in vectors.items() for part, vector in enumerate(made)]
    given = {
        "rows": [row for row, _, _ in parts],
        "parts": [part for _, part, _ in parts],
        "vectors": [vector for _, _, vector in parts],
        "model_id": model_id,
    }
    await connection.execute(_keep(source), given)


@cache
def _keep(source: Source) -> Insert:
    columns = (
        bindparam("rows", type_=_IDS),
        bindparam("parts", type_=ARRAY(Integer)),
        bindparam("vectors", type_=ARRAY(TEXT)),
    )
    made = func.unnest(*columns).table_valued("one", "part", "vector").render_derived(name="made")
    kept = (
        select(
            RecallDocument.owner_id,
            RecallDocument.user_id,
            RecallDocument.id,
            bindparam("model_id", type_=Integer()),
            made.c.part,
            cast(made.c.vector, HALFVEC()),
        )
        .join_from(made, RecallDocument, source.document_of == made.c.one)
        # A document that is being deleted is waited for, and then left out.
        .with_for_update(read=True, key_share=True, of=RecallDocument)
    )
    into = ["owner_id", "user_id", "document_id", "model_id", "part", "embedding"]
    return insert(Embedding).from_select(into, kept).on_conflict_do_nothing()


async def settle(
    connection: AsyncConnection, source: Source, ids: Sequence[UUID], status: Literal["pending", "done", "failed"]
) -> int:
    """Say how it stands with these rows; returns how many of them are still there."""
    if not ids:
        return 0
    return (await connection.execute(_settle(source), {"ids": list(ids), "status": status})).rowcount


@cache
def _settle(source: Source) -> Update:
    table = source.table
    mine = select(table.id).where(table.id == any_(bindparam("ids", type_=_IDS)))
    # Locked in the order of their ids, as everybody locks several rows.
    locked = mine.order_by(table.id).with_for_update(key_share=True).subquery()
    values = {"embedding_status": bindparam("status", type_=TEXT)}
    return update(table).where(table.id == locked.c.id).values(values)
