"""Core memory as the API takes and shows it."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator

from memory_service.personas.schemas import SLUG


def without_nul(value: str) -> str:
    """PostgreSQL stores every character but NUL."""
    if "\x00" in value:
        raise ValueError("texts cannot contain the NUL character")
    return value


class CoreMemoryItem(BaseModel):
    """One entry."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    category: str
    key: str
    value: str
    is_mutable: bool = Field(description="False: PostgreSQL itself refuses to change or delete this entry.")
    created_at: datetime
    updated_at: datetime


class CoreMemoryCreate(BaseModel):
    """A new entry. Without `is_mutable` it is written for good."""

    category: str = Field(min_length=1, max_length=64, examples=["like"])
    key: str = Field(min_length=1, max_length=255, examples=["language_rust"])
    value: str = Field(min_length=1, max_length=10_000, examples=["Rust es fascinante"])
    is_mutable: bool = False
    persona: str | None = Field(None, pattern=SLUG)

    _no_nul = field_validator("category", "key", "value")(without_nul)


class CoreMemoryUpdate(BaseModel):
    """New content for a mutable entry; absent fields keep theirs. `is_mutable: false` seals it for good."""

    category: str | None = Field(None, min_length=1, max_length=64)
    key: str | None = Field(None, min_length=1, max_length=255)
    value: str | None = Field(None, min_length=1, max_length=10_000)
    is_mutable: bool | None = None

    @field_validator("category", "key", "value")
    @classmethod
    def _no_nul(cls, value: str | None) -> str | None:
        return None if value is None else without_nul(value)


class SystemPrompt(BaseModel):
    """Layer 0 as text for a model."""

    persona: str
    system_prompt: str
    entries: int = Field(description="Core memory entries in it.")
    sha256: str = Field(description="SHA-256 of the text, as manifests record it.")
