"""Asks the worker to embed rows, inside the transaction that stores them: a rollback takes the request back."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.queries import Queries
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.db import raw_connection
from memory_service.embeddings.sources import INTERACTIONS, MEMORIES, SOURCES, Source

# Rows per job: one job is one transaction and a fifth of a second of a CPU (375 texts of 5 to 55 words a second, measured with
# all-MiniLM-L6-v2 in bf16 on one core), so a crash repeats little and other owners' jobs wait little.
_JOB_SIZE = 64


@dataclass(frozen=True, slots=True)
class EmbedJob:
    """What a job carries: whose rows, of which table, and which. Never a text."""

    owner: str
    source: Source
    ids: tuple[UUID, ...]

    def encode(self) -> bytes:
        """JSON for the queue."""
        return json.dumps({"owner": self.owner, self.source.name: [str(one) for one in self.ids]}).encode()

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """The job in `payload`, as `encode` wrote it."""
        content = json.loads(payload)
        source = next(one for one in SOURCES if one.name in content)
        return cls(content["owner"], source, tuple(UUID(one) for one in content[source.name]))


async def enqueue_embedding(connection: AsyncConnection, owner: str, interaction_ids: Sequence[UUID]) -> None:
    """Have `owner`'s interactions embedded soon after `connection`'s transaction commits; nothing if it rolls back."""
    await enqueue(connection, INTERACTIONS, owner, interaction_ids)


async def enqueue_memory_embedding(connection: AsyncConnection, owner: str, memory_ids: Sequence[UUID]) -> None:
    """The same for typed memories."""
    await enqueue(connection, MEMORIES, owner, memory_ids)


async def enqueue(connection: AsyncConnection, source: Source, owner: str, ids: Sequence[UUID]) -> None:
    """Have rows of `source` embedded, in jobs of bounded size."""
    jobs = [
        EmbedJob(owner, source, tuple(ids[start : start + _JOB_SIZE])).encode()
        for start in range(0, len(ids), _JOB_SIZE)
    ]
    if jobs:
        queries = Queries(AsyncpgDriver(await raw_connection(connection)))
        await queries.enqueue([source.entrypoint] * len(jobs), list(jobs), [0] * len(jobs))
