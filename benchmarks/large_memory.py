"""Fills the service's own tables with made-up memories, far faster than the API would.

Goes around the API as the superuser: exchanges by COPY (the database's triggers index them), their vectors beside them, and the
vector index built once at the end. Everything else of the service works on such rows as on its own.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg
import numpy as np
from memory_service.ids import make_id
from numpy.typing import NDArray
from pgvector import HalfVector
from pgvector.asyncpg import register_vector
from synthetic_talk import Exchange, around

# Rows per COPY: some tens of megabytes of vectors in memory.
_PART = 5_000


@dataclass(frozen=True, slots=True)
class Home:
    """Where the rows go: an owner's persona, and the model whose vectors they get."""

    owner: str
    persona: UUID
    model: int


async def connect(url: str) -> asyncpg.Connection:
    """A connection for filling; `url` as the embedded server gives it."""
    connection = await asyncpg.connect(url.replace("postgresql+asyncpg://", "postgresql://"))
    await register_vector(connection)
    # Made-up rows may be lost in a crash; building the vector index wants memory (0.6 GB for 200,000 vectors).
    await connection.execute("SET synchronous_commit = off; SET maintenance_work_mem = '1GB'")
    return connection


async def home(connection: asyncpg.Connection) -> Home:
    """The only owner, persona and active model: those of a service that has stored one exchange."""
    row = await connection.fetchrow(
        "SELECT owner_id, personas.id AS persona, model.id AS model FROM personas, embedding_models AS model WHERE active"
    )
    return Home(row["owner_id"], row["persona"], row["model"])


async def add(
    connection: asyncpg.Connection,
    at: Home,
    user: str,
    talk: Sequence[Exchange],
    centres: NDArray[np.float32],
    seed: int,
) -> None:
    """Store one viewer's talk with its vectors."""
    await connection.execute("INSERT INTO users (owner_id, id) VALUES ($1, $2) ON CONFLICT DO NOTHING", at.owner, user)
    sessions = {one.session: (uuid4(), one.when) for one in reversed(talk)}
    await connection.copy_records_to_table(
        "sessions",
        columns=["id", "owner_id", "persona_id", "user_id", "started_at"],
        records=[(key, at.owner, at.persona, user, began) for key, began in sessions.values()],
    )
    for start in range(0, len(talk), _PART):
        part = talk[start : start + _PART]
        ids = [make_id() for _ in part]
        await connection.copy_records_to_table(
            "interactions",
            columns=[
                "id", "owner_id", "persona_id", "session_id", "user_id", "input_text", "output_text", "occurred_at",
                "quality_score", "quality", "content_hash", "embedding_status",
            ],
            records=[
                (key, at.owner, at.persona, sessions[one.session][0], user, one.asked, one.replied, one.when,
                 0.7, "{}", hashlib.sha256(f"{one.asked}\n{one.replied}".encode()).digest(), "done")
                for key, one in zip(ids, part, strict=True)
            ],
        )  # fmt: skip
        documents = await _documents(connection, ids)
        vectors = around(centres, [one.centre for one in part], seed + start)
        await connection.copy_records_to_table(
            "embeddings",
            columns=["owner_id", "user_id", "document_id", "model_id", "part", "embedding"],
            records=[
                (at.owner, user, documents[key], at.model, 0, HalfVector(vector))
                for key, vector in zip(ids, vectors, strict=True)
            ],
        )


async def _documents(connection: asyncpg.Connection, ids: Sequence[UUID]) -> dict[UUID, int]:
    """What recall calls each exchange."""
    rows = await connection.fetch(
        "SELECT interaction_id, id FROM recall_documents WHERE interaction_id = ANY ($1)", list(ids)
    )
    return {row["interaction_id"]: row["id"] for row in rows}


async def drop_vector_index(connection: asyncpg.Connection, at: Home) -> None:
    """Vectors are copied 50 times faster without it."""
    await connection.execute(f"DROP INDEX IF EXISTS ix_embeddings_model_{at.model}")


async def settle(connection: asyncpg.Connection, at: Home) -> int:
    """Build the vector index, tidy up and count as a server does in time; returns the database's size in bytes."""
    await connection.execute("SELECT index_vectors($1)", at.model)
    await connection.execute("VACUUM (ANALYZE)")
    size: int = await connection.fetchval("SELECT pg_database_size(current_database())")
    return size
