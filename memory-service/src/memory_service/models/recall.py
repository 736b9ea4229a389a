"""What recall searches: documents (an exchange or a typed memory each), their terms and their vectors.

Documents and terms are made and kept by triggers (migrations 0009 and 0011): they are right whoever writes, edits or deletes.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, SmallInteger, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from memory_service.models.base import FALSE, NOW, Base, belongs_to, owner_id_column


class RecallDocument(Base):
    """An exchange or a typed memory as recall sees it. `length` and `end_length` count terms: of all of it, and of its end."""

    __tablename__ = "recall_documents"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    owner_id: Mapped[str] = owner_id_column()
    user_id: Mapped[str]
    persona_id: Mapped[UUID | None]
    interaction_id: Mapped[UUID | None]
    memory_id: Mapped[UUID | None]
    session_id: Mapped[UUID | None]
    said_at: Mapped[datetime]
    valid_to: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    is_deleted: Mapped[bool] = mapped_column(server_default=FALSE)
    audience: Mapped[str]
    asks: Mapped[bool]
    tells_when: Mapped[bool]
    length: Mapped[int]
    end_length: Mapped[int]
    __table_args__ = (
        belongs_to("interactions", "interaction_id"),
        belongs_to("memories", "memory_id"),
        UniqueConstraint("owner_id", "id"),
        UniqueConstraint("interaction_id"),
        UniqueConstraint("memory_id"),
        CheckConstraint("num_nonnulls(interaction_id, memory_id) = 1", "one_source"),
        Index("ix_recall_documents_public", "owner_id", "persona_id", postgresql_where=text("audience = 'public'")),
        Index(
            "ix_recall_documents_reading",
            "owner_id",
            "user_id",
            "session_id",
            "said_at",
            "id",
            postgresql_include=[
                "persona_id",
                "valid_to",
                "expires_at",
                "is_deleted",
                "audience",
                "length",
                "end_length",
            ],
        ),
    )


class RecallTerm(Base):
    """How often a document says a term, and how often its end does. `shelf`: the viewer's id, or '' for what is public."""

    __tablename__ = "recall_terms"
    owner_id: Mapped[str] = mapped_column(primary_key=True)  # an owner's because its document is
    shelf: Mapped[str] = mapped_column(primary_key=True)
    term: Mapped[str] = mapped_column(primary_key=True)
    document_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    times: Mapped[int] = mapped_column(SmallInteger)
    end_times: Mapped[int] = mapped_column(SmallInteger)
    __table_args__ = (belongs_to("recall_documents", "document_id"), Index(None, "document_id"))


class EmbeddingModel(Base):
    """A model whose vectors are in the database; at most one is active, and start-up checks that it is the configured one."""

    __tablename__ = "embedding_models"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    name: Mapped[str]
    revision: Mapped[str] = mapped_column(server_default=text("''"))
    dimension: Mapped[int]
    active: Mapped[bool] = mapped_column(server_default=FALSE)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    __table_args__ = (
        UniqueConstraint("name", "revision"),
        Index("uq_embedding_models_active", "active", unique=True, postgresql_where=text("active")),
        CheckConstraint("dimension BETWEEN 1 AND 4000", "dimension_range"),
    )


class Embedding(Base):
    """One vector of a document, under the model that made it: of the whole text (part 0) or of a passage of a long one."""

    __tablename__ = "embeddings"
    owner_id: Mapped[str] = owner_id_column()
    user_id: Mapped[str]
    document_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("embedding_models.id"), primary_key=True)
    part: Mapped[int] = mapped_column(server_default=text("0"), primary_key=True)
    embedding: Mapped[Any] = mapped_column(HALFVEC())
    __table_args__ = (
        belongs_to("users", "user_id"),
        belongs_to("recall_documents", "document_id"),
        Index(None, "owner_id", "user_id", "model_id"),
    )
