"""Characters with their core memory, and the viewers they talk with."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from memory_service.models.base import EMPTY_OBJECT, FALSE, NOW, Base, belongs_to, owner_id_column


class Persona(Base):
    """A character. `settings` holds data about her, such as her style markers."""

    __tablename__ = "personas"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = owner_id_column()
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
    owner_id: Mapped[str] = owner_id_column()
    persona_id: Mapped[UUID]
    category: Mapped[str]
    key: Mapped[str]
    value: Mapped[str]
    is_mutable: Mapped[bool] = mapped_column(server_default=FALSE)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    __table_args__ = (
        belongs_to("personas", "persona_id"),
        UniqueConstraint("owner_id", "persona_id", "category", "key"),
        CheckConstraint("length(category) BETWEEN 1 AND 64 AND length(key) BETWEEN 1 AND 255", "name_length"),
        CheckConstraint("length(value) BETWEEN 1 AND 10000", "value_length"),
    )


class User(Base):
    """A viewer, under the id the client gives; never a tenant boundary."""

    __tablename__ = "users"
    owner_id: Mapped[str] = owner_id_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    opt_out_training: Mapped[bool] = mapped_column(server_default=FALSE)
    opt_out_recall: Mapped[bool] = mapped_column(server_default=FALSE)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    __table_args__ = (
        CheckConstraint("length(id) BETWEEN 1 AND 255", "id_length"),
        Index("ix_users_opted_out_of_recall", "owner_id", "id", postgresql_where=text("opt_out_recall")),
    )
