"""Gives interactions and typed memories their vectors.

The truth is each row's `embedding_status`; a job only says when to look.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from pgqueuer.errors import RetryRequested
from pgqueuer.models import Job
from sqlalchemy import select, text

from memory_service.db import Database, despite_others
from memory_service.embeddings.background import BackgroundEmbedder
from memory_service.embeddings.embedder import EmbedderNotReady, Vectors
from memory_service.embeddings.queue import EmbedJob, enqueue
from memory_service.embeddings.sources import SOURCES
from memory_service.embeddings.vectors import vectors_of
from memory_service.models import Owner
from memory_service.worker import repository

log = logging.getLogger(__name__)

T = TypeVar("T")

# Rows per transaction, and per call of the embedder, which cuts them into short runs and lets questions go between. The more
# rows, the more alike in length are those of one run: 64 of 5 to 55 words are 376 a second on one core, 16 are 315, 256: 377.
_BATCH = 64
# Pending rows handed to the queue per owner, table and healing round; the next round takes the next ones.
_HEAL_AT_MOST = 10_000

_QUEUED = text("SELECT EXISTS (SELECT FROM pgqueuer WHERE entrypoint = :entrypoint)")


@dataclass(frozen=True, slots=True)
class _Made:
    """A batch to store: vectors by row (all of it, then its passages), the rows that cannot have any, and which version of
    each row was read.
    """

    vectors: Mapping[UUID, list[str]]
    failed: Sequence[UUID]
    versions: Mapping[UUID, str]


@dataclass(eq=False, slots=True)
class _Order:
    """A job at hand.

    Attributes:
        covered: all of its rows that waited are in flight or stored: nothing is left to look for.
    """

    asked: EmbedJob
    covered: bool = False


@dataclass(slots=True)
class EmbeddingWork:
    """The embedding jobs of one worker.

    Attributes:
        stopping: set when the worker is told to stop; jobs then go back to the queue.
        turn: whoever has it embeds, for all jobs of the same owner. The database stores one batch (`storing`) while the
            model is at the next.
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
    _orders: dict[_Order, None] = field(default_factory=dict)

    async def embed(self, job: Job) -> None:
        """Embed what `job` asks for. Without an embedder nothing is lost: the rows stay pending and are healed later."""
        order = _Order(EmbedJob.decode(job.payload or b"{}"))
        self._orders[order] = None
        try:
            if await self._embedder_decided():
                await self._carry_out(order)
        finally:
            del self._orders[order]

    async def _carry_out(self, order: _Order) -> None:
        while True:
            made = None
            if not order.covered:
                async with self.turn:
                    if not order.covered:
                        made = await self._make(order)
            if made is not None:
                if not await self._keep(order.asked, made):
                    return
            elif order.covered:
                if self.in_flight.isdisjoint(order.asked.ids):
                    return
                async with self.storing:  # another job has this one's rows: wait until they are stored, or are not
                    continue

    async def _make(self, order: _Order) -> _Made | None:
        """The next batch for `order` and for the jobs like it; None when nothing of theirs waits."""
        self._go_back_if_stopping()
        together = self._like(order)
        async with self.database.transaction(order.asked.owner) as connection:
            ids = [one for each in together for one in each.asked.ids]
            rows = await repository.waiting(connection, order.asked.source, ids, self.in_flight, _BATCH)
        made = None
        if rows:
            vectors, failed = await vectors_of(order.asked.source, rows, self._embed)
            made = _Made(vectors, failed, {row.id: row.version for row in rows})
        self.in_flight |= {row.id for row in rows}
        for one in together:
            # Fewer than a batch: nothing else of this owner waited.
            one.covered = len(rows) < _BATCH or self.in_flight.issuperset(one.asked.ids)
        return made

    def _like(self, order: _Order) -> list[_Order]:
        """Orders for the same owner and table that are not covered, the longest waiting first, about a batch of rows.

        `order` itself may not be among them yet: the queue hands jobs out in no order, vectors are begun in that of storing.
        """
        alike = (order.asked.owner, order.asked.source.name)
        waiting = [one for one in self._orders if not one.covered and (one.asked.owner, one.asked.source.name) == alike]
        found: list[_Order] = []
        rows = 0
        for one in sorted(waiting, key=lambda one: one.asked.ids):
            found.append(one)
            rows += len(one.asked.ids)
            if rows >= _BATCH:
                break
        return found

    async def _keep(self, asked: EmbedJob, made: _Made) -> bool:
        """Store a batch while others embed; whether more may follow."""
        kept: set[UUID] | None = None
        try:
            async with self.storing:
                kept = await despite_others(partial(self._store, asked, made))
        finally:
            self.in_flight -= made.versions.keys()
            if kept is None or len(kept) < len(made.versions):
                for one in self._orders:  # whoever counted on this batch must look again
                    one.covered = False
        return kept is not None

    async def _store(self, asked: EmbedJob, made: _Made) -> set[UUID] | None:
        """The rows that are settled: not those changed since they were read. Of a model that is no longer active: None."""
        async with self.database.transaction(asked.owner) as connection:
            if not await self.embedder.is_active(connection):
                return None
            kept = await repository.unchanged(connection, asked.source, made.versions)
            vectors = {row: texts for row, texts in made.vectors.items() if row in kept}
            await repository.store(connection, asked.source, vectors, self.embedder.model_id)
            await repository.settle(connection, asked.source, [row for row in made.failed if row in kept], "failed")
        self.embedded += len(vectors)
        return kept

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
        if not self.embedder.ready:
            await self._unless_stopping(self.embedder.decided())
        self._go_back_if_stopping()
        return self.embedder.ready

    def _go_back_if_stopping(self) -> None:
        if self.stopping.is_set():
            raise RetryRequested(timedelta(0), "the worker is stopping")

    async def _unless_stopping(self, awaited: Coroutine[Any, Any, T]) -> T:
        """The result of `awaited`, which is cancelled when the worker is told to stop."""
        told = asyncio.create_task(self.stopping.wait())
        result = asyncio.create_task(awaited)
        try:
            await asyncio.wait({result, told}, return_when=asyncio.FIRST_COMPLETED)
            if not result.done():
                self._go_back_if_stopping()
            return await result
        finally:
            result.cancel()
            told.cancel()

    async def _embed(self, texts: Sequence[str]) -> Vectors:
        try:
            return await self._unless_stopping(self.embedder.memories(texts))
        except EmbedderNotReady as error:
            raise RetryRequested(timedelta(seconds=1), str(error)) from error
