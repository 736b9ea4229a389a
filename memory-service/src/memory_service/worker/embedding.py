"""Gives interactions and typed memories their vectors.

The truth is each row's `embedding_status`; a job only says when to look.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from pgqueuer.errors import RetryRequested
from pgqueuer.models import Job
from sqlalchemy import select, text
from sqlalchemy.engine import Row
from sqlalchemy.exc import DBAPIError

from memory_service.db import Database
from memory_service.embeddings.background import BackgroundEmbedder
from memory_service.embeddings.embedder import EMBEDDING_ERRORS, EmbedderNotReady
from memory_service.embeddings.queue import EmbedJob, enqueue
from memory_service.embeddings.sources import SOURCES, Source
from memory_service.embeddings.texts import passages
from memory_service.embeddings.vectors import vector_text
from memory_service.errors import is_given_up
from memory_service.models import Owner
from memory_service.worker import repository

log = logging.getLogger(__name__)

# Rows per transaction, and per call of the embedder, which cuts them into short runs and lets questions go between. Between
# calls the worker looks whether it should stop; 8 or 64 rows a call made no difference in speed.
_BATCH, _CALL = 64, 16
# Pending rows handed to the queue per owner, table and healing round; the next round takes the next ones.
_HEAL_AT_MOST = 10_000

_QUEUED = text("SELECT EXISTS (SELECT FROM pgqueuer WHERE entrypoint = :entrypoint)")


@dataclass(slots=True)
class EmbeddingWork:
    """The embedding jobs of one worker.

    Attributes:
        stopping: set when the worker is told to stop; jobs then go back to the queue.
        turn: whoever has it embeds. The database stores one batch (`storing`) while the model is at the next.
        in_flight: rows that have their vectors and wait to be stored.
        embedded: texts embedded since the start.
    """

    database: Database
    embedder: BackgroundEmbedder
    stopping: asyncio.Event
    turn: asyncio.Lock
    storing: asyncio.Lock = field(default_factory=asyncio.Lock)
    in_flight: set[UUID] = field(default_factory=set)
    embedded: int = 0

    async def embed(self, job: Job) -> None:
        """Embed what `job` asks for. Without an embedder nothing is lost: the rows stay pending and are healed later."""
        asked = EmbedJob.decode(job.payload or b"{}")
        if not await self._embedder_decided():
            return
        while True:
            async with self.turn:
                self._go_back_if_stopping()
                rows = await self._waiting(asked)
                made = await self._embed(asked, rows) if rows else None
                self.in_flight |= {row.id for row in rows}
            if made is None:
                if self.in_flight.isdisjoint(asked.ids):
                    return
                async with self.storing:  # another job has this one's rows: look again when they are stored, or are not
                    continue
            try:
                async with self.storing:
                    if not await self._store(asked, *made):
                        return
            except DBAPIError as error:
                if is_given_up(error):
                    raise RetryRequested(timedelta(0), "somebody else changed the same rows") from error
                raise
            finally:
                self.in_flight -= {row.id for row in rows}

    async def heal(self) -> int:
        """Queue every owner's pending rows again; returns how many. A table whose jobs are still waiting is left alone."""
        if not self.embedder.ready:
            return 0
        async with self.database.unowned() as connection:
            idle = [one for one in SOURCES if not await connection.scalar(_QUEUED, {"entrypoint": one.entrypoint})]
            owners = (await connection.scalars(select(Owner.id))).all() if idle else []
        healed = 0
        for owner in owners:
            async with self.database.transaction(owner) as connection:
                for source in idle:
                    pending = await repository.pending(connection, source, _HEAL_AT_MOST)
                    await enqueue(connection, source, owner, pending)
                    healed += len(pending)
        if healed:
            log.info("Queued %d rows that had no vector and no job", healed)
        return healed

    async def _embedder_decided(self) -> bool:
        """Whether there is an embedder, once that is known."""
        ready = asyncio.create_task(self.embedder.decided())
        stopping = asyncio.create_task(self.stopping.wait())
        await asyncio.wait({ready, stopping}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        stopping.cancel()
        self._go_back_if_stopping()
        return self.embedder.ready

    def _go_back_if_stopping(self) -> None:
        if self.stopping.is_set():
            raise RetryRequested(timedelta(0), "the worker is stopping")

    async def _waiting(self, asked: EmbedJob) -> Sequence[Row[Any]]:
        async with self.database.transaction(asked.owner) as connection:
            return await repository.waiting(connection, asked.source, asked.ids, self.in_flight, _BATCH)

    async def _embed(self, asked: EmbedJob, rows: Sequence[Row[Any]]) -> tuple[dict[UUID, list[str]], list[UUID]]:
        """The vectors of `rows`, and those that cannot have any."""
        vectors: dict[UUID, list[str]] = {}
        failed: list[UUID] = []
        for start in range(0, len(rows), _CALL):
            self._go_back_if_stopping()
            made, refused = await self._vectors(asked.source, rows[start : start + _CALL])
            vectors |= made
            failed += refused
        return vectors, failed

    async def _store(self, asked: EmbedJob, vectors: Mapping[UUID, list[str]], failed: Sequence[UUID]) -> bool:
        """Keep what was made; whether more may follow. Of a model that is no longer the active one nothing is kept."""
        async with self.database.transaction(asked.owner) as connection:
            if not await self.embedder.is_active(connection):
                return False
            await repository.store(connection, asked.source, vectors, self.embedder.model_id)
            await repository.settle(connection, asked.source, list(vectors), "done")
            await repository.settle(connection, asked.source, failed, "failed")
        self.embedded += len(vectors)
        return True

    async def _vectors(self, source: Source, rows: Sequence[Row[Any]]) -> tuple[dict[UUID, list[str]], list[UUID]]:
        """Vectors by row (all of it, then its passages), as PostgreSQL reads them; and the rows that cannot be embedded."""
        texts = [[whole, *passages(whole)] for whole in map(source.text, rows)]
        try:
            made = await self.embedder.embed([one for some in texts for one in some], "memory")
        except EmbedderNotReady as error:
            raise RetryRequested(timedelta(seconds=1), str(error)) from error
        except EMBEDDING_ERRORS:
            if len(rows) == 1:
                log.exception(
                    "A text cannot be embedded; embedding_status of %s in %s is now 'failed'", rows[0].id, source.name
                )
                return {}, [rows[0].id]
            parts = [await self._vectors(source, [row]) for row in rows]
            return {one: vector for found, _ in parts for one, vector in found.items()}, [
                one for _, refused in parts for one in refused
            ]
        vectors = iter(made.tolist())
        return {row.id: [vector_text(next(vectors)) for _ in some] for row, some in zip(rows, texts, strict=True)}, []
