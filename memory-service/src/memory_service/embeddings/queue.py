"""Asks the worker to embed interactions, inside the transaction that stores them: a rollback takes the request back."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.queries import Queries
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.db import raw_connection

EMBED_INTERACTIONS = "embed_interactions"

# Interactions per job: one job is one transaction and about a second of a CPU (90 short texts a second, measured with
# all-MiniLM-L6-v2 on one core), so a crash repeats little and other owners' jobs wait little.
_JOB_SIZE = 64


@dataclass(frozen=True, slots=True)
class EmbedJob:
    """What a job carries: whose interactions, and which. Never a text."""

    owner: str
    interaction_ids: tuple[UUID, ...]

    def encode(self) -> bytes:
        """JSON for the queue."""
        return json.dumps({"owner": self.owner, "interactions": [str(one) for one in self.interaction_ids]}).encode()

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """The job in `payload`, as `encode` wrote it."""
        content = json.loads(payload)
        return cls(content["owner"], tuple(UUID(one) for one in content["interactions"]))


async def enqueue_embedding(connection: AsyncConnection, owner: str, interaction_ids: Sequence[UUID]) -> None:
    """Have `owner`'s interactions embedded soon after `connection`'s transaction commits; nothing if it rolls back."""
    jobs = [
        EmbedJob(owner, tuple(interaction_ids[start : start + _JOB_SIZE])).encode()
        for start in range(0, len(interaction_ids), _JOB_SIZE)
    ]
    if jobs:
        queries = Queries(AsyncpgDriver(await raw_connection(connection)))
        await queries.enqueue([EMBED_INTERACTIONS] * len(jobs), list(jobs), [0] * len(jobs))
