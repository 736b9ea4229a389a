"""Reads and writes `api_keys` in the role that made it, for whom there is more than one owner."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from memory_service.db import normal_url
from memory_service.ids import make_id
from memory_service.models import ApiKey, Owner, RateLimitBucket


@asynccontextmanager
async def operators_transaction(url: str) -> AsyncIterator[AsyncConnection]:
    """One transaction over all owners' keys, for the operator at the command line and never for a request."""
    engine = create_async_engine(normal_url(url), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            # A role that may not see every owner is told so, instead of being shown an empty table.
            await connection.execute(text("SET LOCAL row_security = off"))
            yield connection
    finally:
        await engine.dispose()


async def create(
    connection: AsyncConnection, owner: str, key_hash: bytes, rate_limit: int, metadata: dict[str, Any]
) -> Row[Any]:
    """Store a key by its digest; makes the owner where it is the first."""
    await connection.execute(insert(Owner).values(id=owner).on_conflict_do_nothing())
    row = {
        "id": make_id(),
        "owner_id": owner,
        "key_hash": key_hash,
        "rate_limit": rate_limit,
        "metadata_": metadata,
    }
    return (await connection.execute(insert(ApiKey).values(row).returning(ApiKey))).one()


async def of_owner(connection: AsyncConnection, owner: str) -> Sequence[Row[Any]]:
    """Every key of `owner`, revoked ones too, oldest first."""
    statement = select(ApiKey).where(ApiKey.owner_id == owner).order_by(ApiKey.created_at, ApiKey.id)
    rows: Sequence[Row[Any]] = (await connection.execute(statement)).all()
    return rows


async def find(connection: AsyncConnection, key_id: UUID) -> Row[Any] | None:
    """A key by its id."""
    return (await connection.execute(select(ApiKey).where(ApiKey.id == key_id))).one_or_none()


async def revoke(connection: AsyncConnection, key_id: UUID) -> Row[Any] | None:
    """Revoke a key and drop its bucket; None when there is no such key, or it is revoked already."""
    usable = (ApiKey.id == key_id) & ApiKey.revoked_at.is_(None)
    row = (
        await connection.execute(update(ApiKey).where(usable).values(revoked_at=func.now()).returning(ApiKey))
    ).one_or_none()
    await connection.execute(delete(RateLimitBucket).where(RateLimitBucket.bucket == str(key_id)))
    return row


async def any_usable(connection: AsyncConnection) -> bool:
    """Whether somebody could call with a stored key."""
    return bool(await connection.scalar(select(exists().where(ApiKey.revoked_at.is_(None)))))
