"""The chain from exchanges to what is deployed."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from memory_service.models.base import EMPTY_OBJECT, NOW, Base, belongs_to, owner_id_column


class TrainingExport(Base):
    """A dataset handed out: filters, funnel and hashes in its manifest."""

    __tablename__ = "training_exports"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = owner_id_column()
    persona_id: Mapped[UUID]
    export_id: Mapped[str]
    type: Mapped[str]
    format: Mapped[str]
    dataset_sha256: Mapped[str]
    manifest: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    tainted_at: Mapped[datetime | None]
    __table_args__ = (
        belongs_to("personas", "persona_id"),
        UniqueConstraint("owner_id", "id"),
        UniqueConstraint("owner_id", "export_id"),
    )


class TrainingExportRow(Base):
    """One interaction inside a dataset. No foreign key to it: the record of what was learned outlives an erased exchange.

    `evidence`: in a preference row, which of the exchange's replies stands there.
    """

    __tablename__ = "training_export_rows"
    training_export_id: Mapped[UUID] = mapped_column(primary_key=True)
    interaction_id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = owner_id_column()
    row_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    split: Mapped[str] = mapped_column(primary_key=True)
    content_hash: Mapped[bytes]
    place: Mapped[int] = mapped_column(server_default=text("0"))
    session_id: Mapped[UUID | None]
    quality_score: Mapped[float | None]
    evidence: Mapped[str | None]
    __table_args__ = (
        belongs_to("training_exports", "training_export_id"),
        Index(None, "owner_id", "interaction_id"),
        Index(None, "training_export_id", "split", "row_number"),
        CheckConstraint("split IN ('train', 'val')", "split"),
    )


class TrainingExportSource(Base):
    """What else stands in a dataset: a memory or an exchange that was recalled for one of its rows, or a person's feedback."""

    __tablename__ = "training_export_sources"
    training_export_id: Mapped[UUID] = mapped_column(primary_key=True)
    source_id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = owner_id_column()
    __table_args__ = (belongs_to("training_exports", "training_export_id"), Index(None, "owner_id", "source_id"))


class LoraVersion(Base):
    """A trained adapter: its manifest, its parent, the dataset it learned from and the gate's last word on it."""

    __tablename__ = "lora_versions"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = owner_id_column()
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
        belongs_to("personas", "persona_id"),
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
    owner_id: Mapped[str] = owner_id_column()
    lora_version_id: Mapped[UUID]
    tag: Mapped[str]
    host: Mapped[str]
    live: Mapped[bool]
    smoke: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    deployed_at: Mapped[datetime] = mapped_column(server_default=NOW)
    retired_at: Mapped[datetime | None]
    __table_args__ = (belongs_to("lora_versions", "lora_version_id"), Index(None, "owner_id", "tag", "deployed_at"))
