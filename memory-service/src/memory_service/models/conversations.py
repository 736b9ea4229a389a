"""What was said, when, how good it was and what it was about."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from memory_service.encryption.types import ENCRYPTED, EncryptedJSON, EncryptedText
from memory_service.models.base import EMPTY_OBJECT, FALSE, MAX_TEXT, NOW, Base, belongs_to, owner_id_column


class Session(Base):
    """A conversation of one viewer with one persona, and the viewer's consent for it. `name`: the client's own id for it."""

    __tablename__ = "sessions"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = owner_id_column()
    persona_id: Mapped[UUID]
    user_id: Mapped[str]
    opt_out_training: Mapped[bool] = mapped_column(server_default=FALSE)
    started_at: Mapped[datetime] = mapped_column(server_default=NOW)
    ended_at: Mapped[datetime | None]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=EMPTY_OBJECT)
    name: Mapped[str | None]
    __table_args__ = (
        belongs_to("personas", "persona_id"),
        belongs_to("users", "user_id"),
        UniqueConstraint("owner_id", "id"),
        UniqueConstraint("owner_id", "name"),
        CheckConstraint("length(name) BETWEEN 1 AND 128", "name_length"),
        Index(None, "owner_id", "user_id", "started_at"),
        Index(None, "owner_id", "persona_id", "started_at"),
        CheckConstraint("ended_at IS NULL OR ended_at >= started_at", "ends_after_start"),
    )


class SessionSummary(Base):
    """What a conversation was about so far, and up to which exchange it says so."""

    __tablename__ = "session_summaries"
    session_id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = owner_id_column()
    text: Mapped[str] = mapped_column(EncryptedText)
    covers_until: Mapped[datetime | None]
    covers_interaction_id: Mapped[UUID | None]
    written_by: Mapped[str]
    model_version: Mapped[str | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    __table_args__ = (
        belongs_to("sessions", "session_id"),
        CheckConstraint("written_by IN ('model', 'operator')", "written_by"),
    )


class Interaction(Base):
    """One exchange: what the viewer said, what the persona answered, how good the answer was and why."""

    __tablename__ = "interactions"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = owner_id_column()
    persona_id: Mapped[UUID]
    session_id: Mapped[UUID]
    user_id: Mapped[str]
    input_text: Mapped[str] = mapped_column(EncryptedText)
    output_text: Mapped[str] = mapped_column(EncryptedText, server_default=text("''"))
    input_emotion: Mapped[str | None]
    output_emotion: Mapped[str | None]
    model_version: Mapped[str | None]
    occurred_at: Mapped[datetime] = mapped_column(server_default=NOW)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    quality_score: Mapped[float]
    quality_source: Mapped[str] = mapped_column(server_default=text("'scorer'"))
    # Its reasons quote the texts.
    quality: Mapped[dict[str, Any]] = mapped_column(EncryptedJSON)
    dropped: Mapped[bool] = mapped_column(server_default=FALSE)
    content_hash: Mapped[bytes]
    embedding_status: Mapped[str] = mapped_column(server_default=text("'pending'"))
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", EncryptedJSON, server_default=EMPTY_OBJECT)
    # Who may hear of it again: the viewer (and the streamer), the streamer alone, or everybody.
    audience: Mapped[str] = mapped_column(server_default=text("'viewer'"))
    # Keyed tokens of the words, and of the words at the end, given when the texts are encrypted (encryption/blind_index.py).
    blind: Mapped[Any | None] = mapped_column(TSVECTOR)
    blind_end: Mapped[Any | None] = mapped_column(TSVECTOR)
    __table_args__ = (
        belongs_to("personas", "persona_id"),
        belongs_to("sessions", "session_id"),
        belongs_to("users", "user_id"),
        UniqueConstraint("owner_id", "id"),
        Index(None, "owner_id", "persona_id", "occurred_at", "id"),
        Index(None, "owner_id", "user_id", "occurred_at"),
        Index(None, "session_id", "occurred_at", "id"),
        Index("ix_interactions_pending", "owner_id", "id", postgresql_where=text("embedding_status = 'pending'")),
        CheckConstraint("audience IN ('viewer', 'streamer', 'public')", "audience"),
        CheckConstraint("quality_score BETWEEN 0 AND 1", "quality_range"),
        CheckConstraint("quality_source IN ('scorer', 'human')", "quality_source"),
        CheckConstraint("embedding_status IN ('pending', 'done', 'failed')", "embedding_status"),
        CheckConstraint(
            f"length(input_text) BETWEEN 1 AND {MAX_TEXT} OR starts_with(input_text, '{ENCRYPTED}')", "input_length"
        ),
        CheckConstraint(
            f"length(output_text) <= {MAX_TEXT} OR starts_with(output_text, '{ENCRYPTED}')", "output_length"
        ),
    )


class Feedback(Base):
    """A human's word on one reply: a rating from 1 (bad) to 5 (excellent), a correction, what was swiped away for it."""

    __tablename__ = "feedback"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = owner_id_column()
    interaction_id: Mapped[UUID]
    user_id: Mapped[str | None]
    rating: Mapped[int | None]
    comment: Mapped[str | None] = mapped_column(EncryptedText)
    corrected_output: Mapped[str | None] = mapped_column(EncryptedText)
    discarded_outputs: Mapped[list[Any]] = mapped_column(EncryptedJSON, server_default=text("'[]'::jsonb"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    __table_args__ = (
        belongs_to("interactions", "interaction_id"),
        Index(None, "owner_id", "interaction_id"),
        CheckConstraint("rating BETWEEN 1 AND 5", "rating_range"),
    )


class Topic(Base):
    """A theme found by clustering the persona's interactions."""

    __tablename__ = "topics"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = owner_id_column()
    persona_id: Mapped[UUID]
    label: Mapped[str]
    keywords: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    __table_args__ = (belongs_to("personas", "persona_id"), UniqueConstraint("owner_id", "id"))


class InteractionTopic(Base):
    """Which topic an interaction belongs to, and how near its centre it lies (cosine, −1 to 1)."""

    __tablename__ = "interaction_topics"
    interaction_id: Mapped[UUID] = mapped_column(primary_key=True)
    topic_id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = owner_id_column()
    similarity: Mapped[float]
    __table_args__ = (
        belongs_to("interactions", "interaction_id"),
        belongs_to("topics", "topic_id"),
        Index(None, "owner_id", "topic_id"),
    )
