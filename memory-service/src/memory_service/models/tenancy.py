"""Tenants, their keys, and what is remembered of their requests."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from memory_service.encryption.types import EncryptedBytes
from memory_service.models.base import EMPTY_OBJECT, NOW, Base, owner_id_column


class Owner(Base):
    """A tenant. Its id comes from the API key, never from a request body."""

    __tablename__ = "owners"
    id: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    __table_args__ = (CheckConstraint("length(id) BETWEEN 1 AND 255", "id_length"),)


class ApiKey(Base):
    """A key's SHA-256; revoked keys stay for the audit trail."""

    __tablename__ = "api_keys"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = owner_id_column()
    key_hash: Mapped[bytes] = mapped_column(unique=True)
    rate_limit: Mapped[int] = mapped_column(server_default=text("60"))
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=EMPTY_OBJECT)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    __table_args__ = (CheckConstraint("rate_limit > 0", "rate_limit_positive"),)


class IdempotentRequest(Base):
    """A write answered once: the same key with the same body gets the same answer again."""

    __tablename__ = "idempotent_requests"
    owner_id: Mapped[str] = owner_id_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes]
    status: Mapped[int]
    body: Mapped[bytes] = mapped_column(EncryptedBytes)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    __table_args__ = (Index(None, "created_at"), CheckConstraint("length(key) BETWEEN 1 AND 255", "key_length"))


class RateLimitBucket(Base):
    """A key's tokens, shared by all service processes. Only `take_token()` touches it; emptied by a crash of the server."""

    __tablename__ = "rate_limit_buckets"
    bucket: Mapped[str] = mapped_column(primary_key=True)
    tokens: Mapped[float]
    refilled_at: Mapped[datetime]
    allowed: Mapped[bool]
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)


class EncryptionState(Base):
    """One row once texts are encrypted: the blind index's own key, sealed under ENCRYPTION_KEY."""

    __tablename__ = "encryption_state"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sealed_index_key: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    __table_args__ = (CheckConstraint("id = 1", "one_row"),)
