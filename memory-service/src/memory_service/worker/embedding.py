"""Gives interactions their vectors. The truth is each row's `embedding_status`; a job only says when to look."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from pgqueuer.errors import RetryRequested
from pgqueuer.models import Job
from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.dialects.postgresql import UUID as PGUUID
from sqlalchemy.engine import Row

from memory_service.db import Database
from memory_service.embeddings.background import BackgroundEmbedder
from memory_service.embeddings.embedder import EMBEDDING_ERRORS, EmbedderNotReady
from memory_service.embeddings.queue import EMBED_INTERACTIONS, EmbedJob, enqueue_embedding
from memory_service.embeddings.texts import embedded_text
from memory_service.embeddings.vectors import vector_text
from memory_service.ids import make_id
from memory_service.models import Owner

log = logging.getLogger(__name__)

# Interactions per transaction, and texts per call of the model: a question waits for at most one such call. The model is
# as fast on 8 texts at once as on 64 (83-90 against 92 texts a second on one core, all-MiniLM-L6-v2).
_BATCH, _CALL = 64, 8
# Pending interactions handed to the queue per owner and healing round; the next round takes the next ones.
_HEAL_AT_MOST = 10_000

# The rows asked for that still wait, filled up with the owner's oldest waiting rows: many small jobs become one batch, and
# a job whose rows went with an earlier batch finds nothing.
_WAITING = text("""
    SELECT id, input_text, output_text, dropped FROM interactions
    WHERE embedding_status = 'pending'
      AND EXISTS (SELECT FROM interactions WHERE id = ANY(:asked) AND embedding_status = 'pending')
    ORDER BY id = ANY(:asked) DESC, id
    LIMIT :batch
""").bindparams(bindparam("asked", type_=ARRAY(PGUUID(as_uuid=True))))

# Rows deleted in the meantime are left out; rows that got their vector in the meantime keep it.
_STORE = text("""
    WITH alive AS (
        SELECT id, owner_id, user_id FROM interactions WHERE id = ANY(:interactions) FOR KEY SHARE
    )
    INSERT INTO embeddings (id, owner_id, user_id, interaction_id, model_id, embedding)
    SELECT made.id, alive.owner_id, alive.user_id, alive.id, :model, CAST(made.vector AS halfvec)
    FROM unnest(:ids, :interactions, :vectors) AS made (id, interaction_id, vector)
    JOIN alive ON alive.id = made.interaction_id
    ON CONFLICT DO NOTHING
""").bindparams(
    bindparam("ids", type_=ARRAY(PGUUID(as_uuid=True))),
    bindparam("interactions", type_=ARRAY(PGUUID(as_uuid=True))),
    bindparam("vectors", type_=ARRAY(TEXT)),
)
_SETTLE = text("UPDATE interactions SET embedding_status = :status WHERE id = ANY(:interactions)").bindparams(
    bindparam("interactions", type_=ARRAY(PGUUID(as_uuid=True)))
)
_PENDING = text("SELECT id FROM interactions WHERE embedding_status = 'pending' ORDER BY id LIMIT :limit")
_QUEUED = text("SELECT EXISTS (SELECT FROM pgqueuer WHERE entrypoint = :entrypoint)")


@dataclass(slots=True)
class EmbeddingWork:
    """The embedding jobs of one worker.

    Attributes:
        stopping: set when the worker is told to stop; jobs then go back to the queue.
        embedded: texts embedded since the start.
    """

    database: Database
    embedder: BackgroundEmbedder
    stopping: asyncio.Event
    turn: asyncio.Lock
    embedded: int = 0

    async def embed_interactions(self, job: Job) -> None:
        """Embed what `job` asks for. Without an embedder nothing is lost: the rows stay pending and are healed later."""
        asked = EmbedJob.decode(job.payload or b"{}")
        if not await self._embedder_decided():
            return
        async with self.turn:
            self._go_back_if_stopping()
            rows = await self._waiting(asked)
            while rows:
                await self._embed(asked.owner, rows)
                rows = await self._waiting(asked)

    async def heal(self) -> int:
        """Queue every owner's pending interactions again; returns how many. Does nothing while jobs are waiting anyway."""
        if not self.embedder.ready:
            return 0
        async with self.database.unowned() as connection:
            if await connection.scalar(_QUEUED, {"entrypoint": EMBED_INTERACTIONS}):
                return 0
            owners = (await connection.scalars(select(Owner.id))).all()
        healed = 0
        for owner in owners:
            async with self.database.transaction(owner) as connection:
                pending = (await connection.scalars(_PENDING, {"limit": _HEAL_AT_MOST})).all()
                await enqueue_embedding(connection, owner, pending)
            healed += len(pending)
        if healed:
            log.info("Queued %d interactions that had no vector and no job", healed)
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
            return (await connection.execute(_WAITING, {"asked": list(asked.interaction_ids), "batch": _BATCH})).all()

    async def _embed(self, owner: str, rows: Sequence[Row[Any]]) -> None:
        vectors: dict[UUID, str] = {}
        failed: list[UUID] = []
        for start in range(0, len(rows), _CALL):
            self._go_back_if_stopping()
            made, refused = await self._vectors(rows[start : start + _CALL])
            vectors |= made
            failed += refused
        async with self.database.transaction(owner) as connection:
            stored = {
                "ids": [make_id() for _ in vectors],
                "interactions": list(vectors),
                "vectors": list(vectors.values()),
                "model": self.embedder.model_id,
            }
            await connection.execute(_STORE, stored)
            await connection.execute(_SETTLE, {"interactions": list(vectors), "status": "done"})
            await connection.execute(_SETTLE, {"interactions": failed, "status": "failed"})
        self.embedded += len(vectors)

    async def _vectors(self, rows: Sequence[Row[Any]]) -> tuple[dict[UUID, str], list[UUID]]:
        """Vectors by interaction, as PostgreSQL reads them, and the interactions whose text cannot be embedded."""
        texts = [embedded_text(row.input_text, row.output_text, dropped=row.dropped) for row in rows]
        try:
            made = await self.embedder.embed(texts, "memory")
        except EmbedderNotReady as error:
            raise RetryRequested(timedelta(seconds=1), str(error)) from error
        except EMBEDDING_ERRORS:
            if len(rows) == 1:
                log.exception("Interaction %s cannot be embedded; its embedding_status is now 'failed'", rows[0].id)
                return {}, [rows[0].id]
            parts = [await self._vectors([row]) for row in rows]
            return {one: vector for found, _ in parts for one, vector in found.items()}, [
                one for _, refused in parts for one in refused
            ]
        return {row.id: vector_text(vector) for row, vector in zip(rows, made.tolist(), strict=True)}, []
