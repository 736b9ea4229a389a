"""Moves a store to another embedding model while the service runs.

The new model's vectors are made beside the old ones, which are searched until one transaction switches over. What is done
stays done: a run that was stopped, however rudely, goes on where it left off.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Select, exists, func, select, text
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from memory_service.db import Database, despite_others, normal_url
from memory_service.embeddings.embedder import Embedder, Vectors
from memory_service.embeddings.registry import activate, active_model, known_as, prepare_model
from memory_service.embeddings.sources import SOURCES, Source
from memory_service.embeddings.vectors import vectors_of
from memory_service.models import Embedding, EmbeddingModel, Owner, RecallDocument
from memory_service.worker import repository

log = logging.getLogger(__name__)

# Documents per transaction, as the worker has it: a stop repeats about a second of work.
_BATCH = 64
# Documents whose vectors are deleted, or rows that are marked, at once: whoever writes the same rows waits for tens of
# milliseconds at most.
_AT_ONCE = 5_000
# Passes over what was written meanwhile; what a last one leaves is left to the worker, which embeds it after the switch.
_PASSES = 5
# Any number, the same for every process: one run at a time. Two would delete what the other has just made.
_RUN_LOCK = 882_020_253

# Whole documents: one that kept its first vector alone would pass for embedded when the store goes back to that model.
_DELETE = text("""
    DELETE FROM embeddings
    WHERE model_id = :model
      AND document_id = ANY (ARRAY(SELECT document_id FROM embeddings WHERE model_id = :model LIMIT :most))
""")
# What is left of an index whose removal was cut off: it is not kept up, and would stand in the way of a sound one.
_UNUSABLE = text("""
    SELECT EXISTS (SELECT FROM pg_index JOIN pg_class ON oid = indexrelid WHERE relname = :name AND NOT indisvalid)
""")


class AlreadyRunning(Exception):
    """Another run moves the same database."""


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

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """No other run moves the database while the block runs; a run that dies holds nobody up.

        Raises:
            AlreadyRunning: one does now.
        """
        async with self.database.engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            if not await connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _RUN_LOCK}):
                raise AlreadyRunning(
                    "Another `casiopy reembed` is running on this database. Wait until it is done, or stop it."
                )
            try:
                yield
            finally:
                # Not put back into the pool with its lock, and not asked to unlock either: the server may be gone.
                await connection.invalidate()

    async def left(self) -> int:
        """Documents of all owners without a vector of the model, which need not be known yet."""
        async with self.database.unowned() as connection:
            mine = await known_as(connection, self.embedder)
        return await self._count(select(func.count()).select_from(RecallDocument).where(_lacks(mine or 0)))

    async def others(self) -> Sequence[tuple[Row[int, str, str, int], int]]:
        """The models that the store moves away from: every other one with vectors in the database, and how many."""
        async with self.database.unowned() as connection:
            mine = await known_as(connection, self.embedder)
            columns = (EmbeddingModel.id, EmbeddingModel.name, EmbeddingModel.revision, EmbeddingModel.dimension)
            others = select(*columns).where(EmbeddingModel.id != (mine or 0)).order_by(EmbeddingModel.id)
            known = (await connection.execute(others)).all()
        counted = [
            (one, await self._count(select(func.count()).select_from(Embedding).where(Embedding.model_id == one.id)))
            for one in known
        ]
        return [(one, vectors) for one, vectors in counted if vectors]

    async def prepare(self) -> int:
        """Make the model known to the database, with a sound index; returns its id."""
        async with self.database.unowned() as connection:
            model_id = await prepare_model(connection, self.embedder)
            unusable = await connection.scalar(_UNUSABLE, {"name": _index(model_id)})
        if unusable:
            await self._drop_index(model_id)
            async with self.database.unowned() as connection:
                await prepare_model(connection, self.embedder)
        return model_id

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
        below, or it sees that its model is no longer the active one. A model that is the active one already stays it.
        """
        waiting = await despite_others(partial(self._switch, model_id))
        log.info("Vectors of %s are the active ones", self.embedder.name)
        return waiting

    async def _switch(self, model_id: int) -> int:
        waiting = 0
        async with self.database.unowned() as connection:
            await active_model(connection, lock="update")
            for owner in (await connection.scalars(select(Owner.id))).all():
                await connection.execute(text("SELECT set_config('app.owner_id', :owner, true)"), {"owner": owner})
                for source in SOURCES:
                    waiting += await self._settle(connection, owner, source, model_id)
            await activate(connection, model_id)
        return waiting

    async def clean_up(self, model_id: int) -> AsyncIterator[Step]:
        """Delete the vectors of every other model, and their indexes, whenever and by whom they were kept.

        The models stay known: going back is another run.
        """
        async with self.database.unowned() as connection:
            others = (await connection.scalars(select(EmbeddingModel.id).where(EmbeddingModel.id != model_id))).all()
        for other in others:
            await self._drop_index(other)
            for owner in await self._owners():
                while deleted := await despite_others(partial(self._delete, owner, other)):
                    yield Step(deleted=deleted)

    async def _count(self, statement: Select[int]) -> int:
        """The sum of a count over all owners."""
        total = 0
        for owner in await self._owners():
            async with self.database.transaction(owner) as connection:
                total += int(await connection.scalar(statement) or 0)
        return total

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
            vectors, refused = await vectors_of(source, rows, self._embed)
            versions = {row.id: row.version for row in rows}
            kept = await despite_others(partial(self._keep, owner, source, versions, vectors, model_id))
            known = self.failed.setdefault((owner, source.name), [])
            fresh = [one for one in refused if one not in known]
            known += fresh
            yield Step(embedded=kept, failed=len(fresh))
            after = rows[-1].document_id

    async def _keep(
        self, owner: str, source: Source, versions: Mapping[UUID, str], vectors: Mapping[UUID, list[str]], model_id: int
    ) -> int:
        """Store the vectors of rows that are as they were read; returns of how many.

        Those that changed are found by the next pass, or by the worker. What waits for the active model waits on.
        """
        async with self.database.transaction(owner) as connection:
            same = await repository.unchanged(connection, source, versions)
            kept = {row: made for row, made in vectors.items() if row in same}
            await repository.keep(connection, source, kept, model_id)
        return len(kept)

    async def _embed(self, texts: Sequence[str]) -> Vectors:
        return await asyncio.to_thread(self.embedder.embed, texts, "memory")

    async def _settle(self, connection: AsyncConnection, owner: str, source: Source, model_id: int) -> int:
        """Hand what has no vector of the model to the worker; say of what cannot have one that it failed."""
        failed = set(self.failed.get((owner, source.name), ()))
        missing = select(source.document_of).where(source.document_of.is_not(None), _lacks(model_id))
        waiting = [one for one in (await connection.scalars(missing)).all() if one not in failed]
        # Not as many as were seen: some may be deleted before their turn to be marked comes.
        marked = await self._mark(connection, source, waiting, "pending")
        await self._mark(connection, source, list(failed), "failed")
        embedded = select(source.document_of).where(source.document_of.is_not(None), ~_lacks(model_id))
        revived = select(source.table.id).where(source.table.embedding_status != "done", source.table.id.in_(embedded))
        await self._mark(connection, source, (await connection.scalars(revived)).all(), "done")
        return marked

    async def _mark(
        self,
        connection: AsyncConnection,
        source: Source,
        ids: Sequence[UUID],
        status: Literal["pending", "done", "failed"],
    ) -> int:
        """Returns how many of the rows are still there."""
        marked = 0
        for start in range(0, len(ids), _AT_ONCE):
            marked += await repository.settle(connection, source, ids[start : start + _AT_ONCE], status)
        return marked

    async def _drop_index(self, model_id: int) -> None:
        """As the role that made the tables: the service's own owns nothing."""
        engine = create_async_engine(normal_url(self.database.url), isolation_level="AUTOCOMMIT")
        try:
            async with engine.connect() as connection:
                await connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {_index(model_id)}"))
        finally:
            await engine.dispose()

    async def _delete(self, owner: str, model_id: int) -> int:
        async with self.database.transaction(owner) as connection:
            return (await connection.execute(_DELETE, {"model": model_id, "most": _AT_ONCE})).rowcount


def _index(model_id: int) -> str:
    """As `index_vectors` names it."""
    return f"ix_embeddings_model_{int(model_id)}"


def _lacks(model_id: int) -> Any:
    """Whether a document has no vector of the model."""
    kept = select(Embedding.document_id).where(
        Embedding.document_id == RecallDocument.id, Embedding.model_id == model_id, Embedding.part == 0
    )
    return ~exists(kept.correlate(RecallDocument))


async def _without_vector(connection: AsyncConnection, source: Source, model_id: int, after: int) -> Sequence[Row[Any]]:
    """The next rows of `source` without a vector of the model, in the order of their documents."""
    statement = (
        select(RecallDocument.id.label("document_id"), source.table.id, repository.version(source), *source.columns)
        .join(source.table, source.table.id == source.document_of)
        .where(RecallDocument.id > after, _lacks(model_id))
        .order_by(RecallDocument.id)
        .limit(_BATCH)
    )
    return (await connection.execute(statement)).all()
