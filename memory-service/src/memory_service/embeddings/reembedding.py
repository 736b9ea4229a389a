"""Moves a store to another embedding model while the service runs.

The new model's vectors are made beside the old ones, which are searched until one transaction switches over. What is done
stays done: a run that was stopped, however rudely, goes on where it left off.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import exists, func, select, text
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from memory_service.db import Database, normal_url
from memory_service.embeddings.embedder import EMBEDDING_ERRORS, Embedder
from memory_service.embeddings.registry import activate, active_model, prepare_model
from memory_service.embeddings.sources import SOURCES, Source
from memory_service.embeddings.texts import passages
from memory_service.embeddings.vectors import vector_text
from memory_service.models import Embedding, EmbeddingModel, Owner, RecallDocument
from memory_service.worker import repository

log = logging.getLogger(__name__)

# Documents per transaction, as the worker has it: a stop repeats about a second of work.
_BATCH = 64
# Vectors deleted per transaction: writers of the same rows wait for tens of milliseconds at most.
_DELETED_AT_ONCE = 5_000
# Passes over what was written meanwhile; what a last one leaves is left to the worker, which embeds it after the switch.
_PASSES = 5

_DELETE = text(
    "DELETE FROM embeddings WHERE ctid = ANY (ARRAY(SELECT ctid FROM embeddings WHERE model_id = :model LIMIT :most))"
)


@dataclass(frozen=True, slots=True)
class Step:
    """What a batch did: documents embedded, texts that could not be, or vectors of an old model deleted."""

    embedded: int = 0
    failed: int = 0
    deleted: int = 0


@dataclass(slots=True)
class Reembedding:
    """One run.

    Attributes:
        failed: rows whose text the model could not embed, by owner and table.
    """

    database: Database
    embedder: Embedder
    failed: dict[tuple[str, str], list[UUID]] = field(default_factory=dict)

    async def left(self) -> int:
        """Documents of all owners without a vector of the model, which need not be known yet."""
        async with self.database.unowned() as connection:
            known = (
                await connection.execute(select(EmbeddingModel.id, EmbeddingModel.name, EmbeddingModel.revision))
            ).all()
        mine = [one.id for one in known if (one.name, one.revision) == (self.embedder.name, self.embedder.revision)]
        total = 0
        for owner in await self._owners():
            async with self.database.transaction(owner) as connection:
                statement = select(func.count()).select_from(RecallDocument).where(_lacks(mine[0] if mine else 0))
                total += int(await connection.scalar(statement) or 0)
        return total

    async def prepare(self) -> int:
        """Make the model known to the database; returns its id."""
        async with self.database.unowned() as connection:
            return await prepare_model(connection, self.embedder)

    async def embed(self, model_id: int) -> AsyncIterator[Step]:
        """Give every document a vector of the model, then those that were written meanwhile, until hardly any is left."""
        for _ in range(_PASSES):
            written = 0
            for owner in await self._owners():
                for source in SOURCES:
                    async for step in self._embed_rows(owner, source, model_id):
                        written += step.embedded
                        yield step
            if written <= _BATCH:
                return

    async def switch(self, model_id: int) -> int:
        """In one transaction: the model is the active one. Returns how many documents the worker will have to embed.

        A worker that stores vectors of the old model holds a share of the lock taken here: either what it stored is seen
        below, or it sees that its model is no longer the active one.
        """
        waiting = 0
        async with self.database.unowned() as connection:
            await active_model(connection, lock="update")
            for owner in (await connection.scalars(select(Owner.id))).all():
                await connection.execute(text("SELECT set_config('app.owner_id', :owner, true)"), {"owner": owner})
                for source in SOURCES:
                    waiting += await self._settle(connection, owner, source, model_id)
            await activate(connection, model_id)
        log.info("Vectors of %s are the active ones", self.embedder.name)
        return waiting

    async def clean_up(self, model_id: int) -> AsyncIterator[Step]:
        """Delete the vectors of every other model, and their indexes. They stay known: going back is another run."""
        async with self.database.unowned() as connection:
            others = (await connection.scalars(select(EmbeddingModel.id).where(EmbeddingModel.id != model_id))).all()
        for other in others:
            await self._drop_index(other)
            for owner in await self._owners():
                while deleted := await self._delete(owner, other):
                    yield Step(deleted=deleted)

    async def _owners(self) -> Sequence[str]:
        async with self.database.unowned() as connection:
            return (await connection.scalars(select(Owner.id).order_by(Owner.id))).all()

    async def _embed_rows(self, owner: str, source: Source, model_id: int) -> AsyncIterator[Step]:
        after = 0
        while True:
            async with self.database.transaction(owner) as connection:
                rows = await _without_vector(connection, source, model_id, after)
            if not rows:
                return
            vectors, refused = await self._vectors(source, rows)
            async with self.database.transaction(owner) as connection:
                await repository.store(connection, source, vectors, model_id)
            known = self.failed.setdefault((owner, source.name), [])
            fresh = [one for one in refused if one not in known]
            known += fresh
            yield Step(embedded=len(vectors), failed=len(fresh))
            after = rows[-1].document_id

    async def _vectors(self, source: Source, rows: Sequence[Row[Any]]) -> tuple[Mapping[UUID, list[str]], list[UUID]]:
        """Vectors by row (all of it, then its passages), as PostgreSQL reads them; and the rows that cannot be embedded."""
        texts = [[whole, *passages(whole)] for whole in map(source.text, rows)]
        flat = [one for some in texts for one in some]
        try:
            made = await asyncio.to_thread(self.embedder.embed, flat, "memory")
        except EMBEDDING_ERRORS:
            if len(rows) == 1:
                log.exception("The text of %s in %s cannot be embedded", rows[0].id, source.name)
                return {}, [rows[0].id]
            parts = [await self._vectors(source, [row]) for row in rows]
            return {one: v for found, _ in parts for one, v in found.items()}, [one for _, no in parts for one in no]
        vectors = iter(made.tolist())
        return {row.id: [vector_text(next(vectors)) for _ in some] for row, some in zip(rows, texts, strict=True)}, []

    async def _settle(self, connection: AsyncConnection, owner: str, source: Source, model_id: int) -> int:
        """Hand what has no vector of the model to the worker; say of what cannot have one that it failed."""
        failed = set(self.failed.get((owner, source.name), ()))
        missing = select(source.document_of).where(source.document_of.is_not(None), _lacks(model_id))
        waiting = [one for one in (await connection.scalars(missing)).all() if one not in failed]
        await self._mark(connection, source, waiting, "pending")
        await self._mark(connection, source, list(failed), "failed")
        embedded = select(source.document_of).where(source.document_of.is_not(None), ~_lacks(model_id))
        revived = select(source.table.id).where(source.table.embedding_status != "done", source.table.id.in_(embedded))
        await self._mark(connection, source, (await connection.scalars(revived)).all(), "done")
        return len(waiting)

    async def _mark(
        self,
        connection: AsyncConnection,
        source: Source,
        ids: Sequence[UUID],
        status: Literal["pending", "done", "failed"],
    ) -> None:
        for start in range(0, len(ids), _DELETED_AT_ONCE):
            await repository.settle(connection, source, ids[start : start + _DELETED_AT_ONCE], status)

    async def _drop_index(self, model_id: int) -> None:
        """As the role that made the tables: the service's own owns nothing."""
        engine = create_async_engine(normal_url(self.database.url), isolation_level="AUTOCOMMIT")
        try:
            async with engine.connect() as connection:
                await connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS ix_embeddings_model_{int(model_id)}"))
        finally:
            await engine.dispose()

    async def _delete(self, owner: str, model_id: int) -> int:
        async with self.database.transaction(owner) as connection:
            return (await connection.execute(_DELETE, {"model": model_id, "most": _DELETED_AT_ONCE})).rowcount


def _lacks(model_id: int) -> Any:
    """Whether a document has no vector of the model."""
    kept = select(Embedding.document_id).where(
        Embedding.document_id == RecallDocument.id, Embedding.model_id == model_id, Embedding.part == 0
    )
    return ~exists(kept.correlate(RecallDocument))


async def _without_vector(connection: AsyncConnection, source: Source, model_id: int, after: int) -> Sequence[Row[Any]]:
    """The next rows of `source` without a vector of the model, in the order of their documents."""
    statement = (
        select(RecallDocument.id.label("document_id"), source.table.id, *source.columns)
        .join(source.table, source.table.id == source.document_of)
        .where(RecallDocument.id > after, _lacks(model_id))
        .order_by(RecallDocument.id)
        .limit(_BATCH)
    )
    return (await connection.execute(statement)).all()
