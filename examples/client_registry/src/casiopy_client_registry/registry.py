"""Keeps the clients. Row-level security sees to it that each owner has their own."""

from collections.abc import Sequence

from memory_service.agents.tables import OwnTable
from memory_service.ids import make_id
from sqlalchemy import text
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

CLIENTS = OwnTable(
    "client_registry_clients",
    """
    id UUID PRIMARY KEY,
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    email TEXT NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now()
    """,
    changes=(
        "CREATE UNIQUE INDEX IF NOT EXISTS client_registry_clients_email "
        "ON casiopy_agents.client_registry_clients (owner_id, lower(email))",
    ),
)

_ADD = text(
    f"INSERT INTO {CLIENTS.full_name} (id, name, email) VALUES (:id, :name, :email) ON CONFLICT DO NOTHING"  # noqa: S608
)
_BY_EMAIL = text(f"SELECT name, email FROM {CLIENTS.full_name} WHERE lower(email) = lower(:email)")  # noqa: S608
_SHOW = text(f"""
    SELECT name, email, count(*) OVER () AS total FROM {CLIENTS.full_name}
    WHERE cast(:name AS text) IS NULL OR strpos(lower(name), lower(:name)) > 0
    ORDER BY created_at, id LIMIT :limit
""")  # noqa: S608


async def add(connection: AsyncConnection, name: str, email: str) -> bool:
    """Store a client; False when the owner has one with this address already."""
    result = await connection.execute(_ADD, {"id": make_id(), "name": name, "email": email})
    return result.rowcount == 1


async def by_email(connection: AsyncConnection, email: str) -> Row[tuple[str, str]] | None:
    """The client with this address, whatever its case."""
    return (await connection.execute(_BY_EMAIL, {"email": email})).one_or_none()


async def find(connection: AsyncConnection, name: str | None, limit: int) -> Sequence[Row[tuple[str, str, int]]]:
    """Clients whose name contains `name` (None: all), the oldest first; each row knows how many there are in `total`."""
    return (await connection.execute(_SHOW, {"name": name, "limit": limit})).all()
