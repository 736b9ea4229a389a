"""Typed long-term memories."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from memory_service.encryption.types import ENCRYPTED, SEALED_FIELD, EncryptedJSON, EncryptedText
from memory_service.models.base import EMPTY_OBJECT, FALSE, NOW, Base, belongs_to, owner_id_column


class Memory(Base):
    """A typed long-term item about a viewer; a superseded one keeps its validity interval."""

    __tablename__ = "memories"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = owner_id_column()
    user_id: Mapped[str]
    persona_id: Mapped[UUID | None]
    type: Mapped[str]
    content: Mapped[str] = mapped_column(EncryptedText)
    key: Mapped[str | None]
    value: Mapped[Any | None] = mapped_column(EncryptedJSON)
    confidence: Mapped[float] = mapped_column(server_default=text("1.0"))
    importance: Mapped[int | None]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", EncryptedJSON, server_default=EMPTY_OBJECT)
    ingestion_mode: Mapped[str] = mapped_column(server_default=text("'explicit'"))
    ttl_seconds: Mapped[int | None]
    expires_at: Mapped[datetime | None]
    is_deleted: Mapped[bool] = mapped_column(server_default=FALSE)
    valid_from: Mapped[datetime] = mapped_column(server_default=NOW)
    valid_to: Mapped[datetime | None]
    superseded_by: Mapped[UUID | None]
    source_interaction_id: Mapped[UUID | None]
    embedding_status: Mapped[str] = mapped_column(server_default=text("'pending'"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    audience: Mapped[str] = mapped_column(server_default=text("'viewer'"))
    blind: Mapped[Any | None] = mapped_column(TSVECTOR)
    blind_end: Mapped[Any | None] = mapped_column(TSVECTOR)
    __table_args__ = (
        belongs_to("personas", "persona_id"),
        belongs_to("users", "user_id"),
        belongs_to("interactions", "source_interaction_id"),
        UniqueConstraint("owner_id", "id"),
        Index(None, "owner_id", "user_id", "created_at"),
        Index(None, "owner_id", "source_interaction_id"),
        CheckConstraint("audience IN ('viewer', 'streamer', 'public')", "audience"),
        CheckConstraint("type IN ('fact', 'preference', 'event', 'system')", "type"),
        # One current memory per subject and key: the newer one supersedes.
        Index(
            "uq_memories_current_key",
            "owner_id",
            "user_id",
            "persona_id",
            "key",
            unique=True,
            postgresql_nulls_not_distinct=True,
            postgresql_where=text("key IS NOT NULL AND valid_to IS NULL AND NOT is_deleted"),
        ),
        Index("ix_memories_pending", "owner_id", "id", postgresql_where=text("embedding_status = 'pending'")),
        CheckConstraint(
            f"(length(content) BETWEEN 1 AND 10000 AND content ~ '\\S') OR starts_with(content, '{ENCRYPTED}')",
            "content_length",
        ),
        CheckConstraint("ttl_seconds > 0", "ttl_positive"),
        CheckConstraint("ttl_seconds IS NULL OR expires_at IS NOT NULL", "ttl_expires"),
        CheckConstraint("valid_to >= valid_from", "valid_interval"),
        CheckConstraint("length(key) <= 255", "key_length"),
        CheckConstraint("confidence BETWEEN 0 AND 1", "confidence_range"),
        CheckConstraint("importance BETWEEN 1 AND 5", "importance_range"),
        CheckConstraint("ingestion_mode IN ('explicit', 'rules')", "ingestion_mode"),
        CheckConstraint(
            f"(octet_length(metadata::text) <= 5120 AND f_json_depth(metadata) <= 5) OR metadata ? '{SEALED_FIELD}'",
            "metadata_size",
        ),
        CheckConstraint("embedding_status IN ('pending', 'done', 'failed')", "embedding_status"),
    )
