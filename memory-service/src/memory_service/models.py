"""Every table's row type. Migrations are the schema's one source; a test proves that both agree.

Each table but `owners` and `embedding_models` carries `owner_id`, and PostgreSQL's row-level security compares it with the
transaction's `app.owner_id`. Foreign keys include the owner, so no row can point into another owner's data.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    CheckConstraint,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, DOUBLE_PRECISION, JSONB, TIMESTAMP, TSVECTOR
from sqlalchemy.dialects.postgresql import UUID as PGUUID
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NOW = text("now()")
EMPTY_OBJECT = text("'{}'::jsonb")
TRUE, FALSE = text("true"), text("false")

# Longest text of one side of an exchange, in characters: far above any chat turn, far below what would stall scoring.
MAX_TEXT = 32_000


class Base(DeclarativeBase):
    """Shared type map: UTC timestamps, JSONB objects, 64-bit floats."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  (SQLAlchemy reads this class attribute)
        datetime: TIMESTAMP(timezone=True),
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
        float: DOUBLE_PRECISION,
        str: Text,
        bytes: LargeBinary,
        UUID: PGUUID(as_uuid=True),
        list[str]: ARRAY(Text),
    }


def _owner_id(*, primary_key: bool = False) -> Mapped[str]:
    return mapped_column(ForeignKey("owners.id", ondelete="CASCADE"), primary_key=primary_key)


def _belongs_to(parent: str, column: str, *, ondelete: str = "CASCADE") -> ForeignKeyConstraint:
    """The parent row, in the same owner's data."""
    return ForeignKeyConstraint(["owner_id", column], [f"{parent}.owner_id", f"{parent}.id"], ondelete=ondelete)


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
    owner_id: Mapped[str] = _owner_id()
    key_hash: Mapped[bytes] = mapped_column(unique=True)
    rate_limit: Mapped[int] = mapped_column(server_default=text("60"))
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=EMPTY_OBJECT)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    __table_args__ = (CheckConstraint("rate_limit > 0", "rate_limit_positive"),)


class Persona(Base):
    """A character. `settings` holds data about her, such as her style markers."""

    __tablename__ = "personas"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = _owner_id()
    slug: Mapped[str]
    name: Mapped[str]
    language: Mapped[str] = mapped_column(server_default=text("'es'"))
    settings: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    __table_args__ = (
        UniqueConstraint("owner_id", "id"),
        UniqueConstraint("owner_id", "slug"),
        CheckConstraint("slug ~ '^[a-z0-9][a-z0-9_-]{0,63}$'", "slug_shape"),
    )


class CoreMemory(Base):
    """Layer 0. A trigger refuses every change of a row whose `is_mutable` is false."""

    __tablename__ = "core_memory"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = _owner_id()
    persona_id: Mapped[UUID]
    category: Mapped[str]
    key: Mapped[str]
    value: Mapped[str]
    is_mutable: Mapped[bool] = mapped_column(server_default=FALSE)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    __table_args__ = (
        _belongs_to("personas", "persona_id"),
        UniqueConstraint("owner_id", "persona_id", "category", "key"),
        CheckConstraint("length(category) BETWEEN 1 AND 64 AND length(key) BETWEEN 1 AND 255", "name_length"),
        CheckConstraint("length(value) BETWEEN 1 AND 10000", "value_length"),
    )


class User(Base):
    """A viewer, under the id the client gives; never a tenant boundary."""

    __tablename__ = "users"
    owner_id: Mapped[str] = _owner_id(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    opt_out_training: Mapped[bool] = mapped_column(server_default=FALSE)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    __table_args__ = (CheckConstraint("length(id) BETWEEN 1 AND 255", "id_length"),)


class Session(Base):
    """A conversation of one viewer with one persona, and the viewer's consent for it."""

    __tablename__ = "sessions"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = _owner_id()
    persona_id: Mapped[UUID]
    user_id: Mapped[str]
    opt_out_training: Mapped[bool] = mapped_column(server_default=FALSE)
    started_at: Mapped[datetime] = mapped_column(server_default=NOW)
    ended_at: Mapped[datetime | None]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=EMPTY_OBJECT)
    __table_args__ = (
        _belongs_to("personas", "persona_id"),
        _belongs_to("users", "user_id"),
        UniqueConstraint("owner_id", "id"),
        Index(None, "owner_id", "user_id", "started_at"),
        Index(None, "owner_id", "persona_id", "started_at"),
        CheckConstraint("ended_at IS NULL OR ended_at >= started_at", "ends_after_start"),
    )


class Interaction(Base):
    """One exchange: what the viewer said, what the persona answered, how good the answer was and why."""

    __tablename__ = "interactions"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = _owner_id()
    persona_id: Mapped[UUID]
    session_id: Mapped[UUID]
    user_id: Mapped[str]
    input_text: Mapped[str]
    output_text: Mapped[str] = mapped_column(server_default=text("''"))
    input_emotion: Mapped[str | None]
    output_emotion: Mapped[str | None]
    model_version: Mapped[str | None]
    occurred_at: Mapped[datetime] = mapped_column(server_default=NOW)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    quality_score: Mapped[float]
    quality_source: Mapped[str] = mapped_column(server_default=text("'scorer'"))
    quality: Mapped[dict[str, Any]]
    dropped: Mapped[bool] = mapped_column(server_default=FALSE)
    content_hash: Mapped[bytes]
    embedding_status: Mapped[str] = mapped_column(server_default=text("'pending'"))
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=EMPTY_OBJECT)
    # The stemmers see accented text (the Spanish one strips accents itself); the plain arm sees unaccented words.
    lexemes: Mapped[Any] = mapped_column(
        TSVECTOR,
        Computed(
            "to_tsvector('spanish', f_words(input_text || ' ' || output_text)) || "
            "to_tsvector('english', f_words(input_text || ' ' || output_text)) || "
            "to_tsvector('simple', f_unaccent(f_words(input_text || ' ' || output_text)))",
            persisted=True,
        ),
    )
    __table_args__ = (
        _belongs_to("personas", "persona_id"),
        _belongs_to("sessions", "session_id"),
        _belongs_to("users", "user_id"),
        UniqueConstraint("owner_id", "id"),
        Index(None, "owner_id", "persona_id", "occurred_at", "id"),
        Index(None, "owner_id", "user_id", "occurred_at"),
        Index(None, "session_id", "occurred_at", "id"),
        Index("ix_interactions_lexemes", "lexemes", postgresql_using="gin"),
        Index("ix_interactions_pending", "owner_id", "id", postgresql_where=text("embedding_status = 'pending'")),
        CheckConstraint("quality_score BETWEEN 0 AND 1", "quality_range"),
        CheckConstraint("quality_source IN ('scorer', 'human')", "quality_source"),
        CheckConstraint("embedding_status IN ('pending', 'done', 'failed')", "embedding_status"),
        CheckConstraint(f"length(input_text) BETWEEN 1 AND {MAX_TEXT}", "input_length"),
        CheckConstraint(f"length(output_text) <= {MAX_TEXT}", "output_length"),
    )


class Memory(Base):
    """A typed long-term item about a viewer; a superseded one keeps its validity interval."""

    __tablename__ = "memories"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = _owner_id()
    user_id: Mapped[str]
    persona_id: Mapped[UUID | None]
    type: Mapped[str]
    content: Mapped[str]
    key: Mapped[str | None]
    value: Mapped[Any | None] = mapped_column(JSONB)
    confidence: Mapped[float] = mapped_column(server_default=text("1.0"))
    importance: Mapped[int | None]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=EMPTY_OBJECT)
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
    __table_args__ = (
        _belongs_to("personas", "persona_id"),
        _belongs_to("users", "user_id"),
        _belongs_to("interactions", "source_interaction_id"),
        UniqueConstraint("owner_id", "id"),
        Index(None, "owner_id", "user_id", "created_at"),
        Index(None, "owner_id", "source_interaction_id"),
        CheckConstraint("type IN ('fact', 'preference', 'event', 'system')", "type"),
        CheckConstraint("length(content) BETWEEN 1 AND 10000", "content_length"),
        CheckConstraint("length(key) <= 255", "key_length"),
        CheckConstraint("confidence BETWEEN 0 AND 1", "confidence_range"),
        CheckConstraint("importance BETWEEN 1 AND 5", "importance_range"),
        CheckConstraint("ingestion_mode IN ('explicit', 'rules')", "ingestion_mode"),
        CheckConstraint("octet_length(metadata::text) <= 5120", "metadata_size"),
        CheckConstraint("embedding_status IN ('pending', 'done', 'failed')", "embedding_status"),
    )


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
    """One vector of an interaction or a memory, under the model that made it. `part` numbers several vectors of one text."""

    __tablename__ = "embeddings"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = _owner_id()
    user_id: Mapped[str]
    interaction_id: Mapped[UUID | None]
    memory_id: Mapped[UUID | None]
    part: Mapped[int] = mapped_column(server_default=text("0"))
    model_id: Mapped[int] = mapped_column(ForeignKey("embedding_models.id"))
    embedding: Mapped[Any] = mapped_column(HALFVEC())
    __table_args__ = (
        _belongs_to("users", "user_id"),
        _belongs_to("interactions", "interaction_id"),
        _belongs_to("memories", "memory_id"),
        UniqueConstraint("interaction_id", "part", "model_id"),
        UniqueConstraint("memory_id", "part", "model_id"),
        Index(None, "owner_id", "user_id", "model_id"),
        CheckConstraint("num_nonnulls(interaction_id, memory_id) = 1", "one_source"),
    )


class Feedback(Base):
    """A human's rating of one reply, 1 (bad) to 5 (excellent)."""

    __tablename__ = "feedback"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = _owner_id()
    interaction_id: Mapped[UUID]
    user_id: Mapped[str | None]
    rating: Mapped[int]
    comment: Mapped[str | None]
    corrected_output: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    __table_args__ = (
        _belongs_to("interactions", "interaction_id"),
        Index(None, "owner_id", "interaction_id"),
        CheckConstraint("rating BETWEEN 1 AND 5", "rating_range"),
    )


class Topic(Base):
    """A theme found by clustering the persona's interactions."""

    __tablename__ = "topics"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = _owner_id()
    persona_id: Mapped[UUID]
    label: Mapped[str]
    keywords: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    __table_args__ = (_belongs_to("personas", "persona_id"), UniqueConstraint("owner_id", "id"))


class InteractionTopic(Base):
    """Which topic an interaction belongs to, and how near its centre it lies (cosine, −1 to 1)."""

    __tablename__ = "interaction_topics"
    interaction_id: Mapped[UUID] = mapped_column(primary_key=True)
    topic_id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = _owner_id()
    similarity: Mapped[float]
    __table_args__ = (
        _belongs_to("interactions", "interaction_id"),
        _belongs_to("topics", "topic_id"),
        Index(None, "owner_id", "topic_id"),
    )


class TrainingExport(Base):
    """A dataset handed out: filters, funnel and hashes in its manifest."""

    __tablename__ = "training_exports"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = _owner_id()
    persona_id: Mapped[UUID]
    export_id: Mapped[str]
    type: Mapped[str]
    format: Mapped[str]
    dataset_sha256: Mapped[str]
    manifest: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    tainted_at: Mapped[datetime | None]
    __table_args__ = (
        _belongs_to("personas", "persona_id"),
        UniqueConstraint("owner_id", "id"),
        UniqueConstraint("owner_id", "export_id"),
    )


class TrainingExportRow(Base):
    """One interaction inside a dataset. No foreign key to it: the record of what was learned outlives an erased exchange."""

    __tablename__ = "training_export_rows"
    training_export_id: Mapped[UUID] = mapped_column(primary_key=True)
    interaction_id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = _owner_id()
    row_number: Mapped[int]
    split: Mapped[str]
    content_hash: Mapped[bytes]
    __table_args__ = (
        _belongs_to("training_exports", "training_export_id"),
        Index(None, "owner_id", "interaction_id"),
        CheckConstraint("split IN ('train', 'val')", "split"),
    )


class LoraVersion(Base):
    """A trained adapter: its manifest, its parent, the dataset it learned from and the gate's last word on it."""

    __tablename__ = "lora_versions"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = _owner_id()
    persona_id: Mapped[UUID]
    adapter_id: Mapped[str]
    layer: Mapped[int]
    parent_adapter_id: Mapped[str | None]
    export_id: Mapped[str | None]
    weights_sha256: Mapped[str]
    manifest: Mapped[dict[str, Any]]
    report: Mapped[dict[str, Any] | None]
    verdict: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default=text("'trained'"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    tainted_at: Mapped[datetime | None]
    __table_args__ = (
        _belongs_to("personas", "persona_id"),
        UniqueConstraint("owner_id", "id"),
        UniqueConstraint("owner_id", "adapter_id"),
        Index(None, "owner_id", "export_id"),
        CheckConstraint("layer BETWEEN 1 AND 3", "layer_range"),
        CheckConstraint("verdict IN ('pass', 'fail', 'inconclusive')", "verdict"),
        CheckConstraint("status IN ('trained', 'evaluated', 'deployed', 'retired')", "status"),
    )


class Deployment(Base):
    """An adapter put on Ollama under a tag."""

    __tablename__ = "deployments"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = _owner_id()
    lora_version_id: Mapped[UUID]
    tag: Mapped[str]
    host: Mapped[str]
    live: Mapped[bool]
    smoke: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    deployed_at: Mapped[datetime] = mapped_column(server_default=NOW)
    retired_at: Mapped[datetime | None]
    __table_args__ = (_belongs_to("lora_versions", "lora_version_id"), Index(None, "owner_id", "tag", "deployed_at"))


class IdempotentRequest(Base):
    """A write answered once: the same key with the same body gets the same answer again."""

    __tablename__ = "idempotent_requests"
    owner_id: Mapped[str] = _owner_id(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes]
    status: Mapped[int]
    body: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    __table_args__ = (Index(None, "created_at"), CheckConstraint("length(key) BETWEEN 1 AND 255", "key_length"))
