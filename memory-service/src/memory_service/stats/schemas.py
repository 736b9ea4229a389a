"""The counts as the API shows them."""

from datetime import date

from pydantic import BaseModel, ConfigDict, Field


class CoreMemoryStats(BaseModel):
    """Layer 0."""

    total: int
    immutable: int


class SessionStats(BaseModel):
    """Conversations."""

    total: int
    open: int
    opted_out: int = Field(description="Sessions whose own consent is withheld.")


class DayCount(BaseModel):
    """Exchanges of one UTC day."""

    day: date
    count: int


class ScoreCount(BaseModel):
    """Exchanges with a score from `from` (included) to `to` (excluded, but for 1.0)."""

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    lower: float = Field(alias="from")
    to: float
    count: int


class InteractionStats(BaseModel):
    """Exchanges and how good they are."""

    total: int
    pending_embeddings: int
    dropped: int
    training_ready: int = Field(description="As GET /interactions/training-ready counts them without parameters.")
    by_day: list[DayCount] = Field(description="The latest 366 UTC days that have any, oldest first.")
    quality_histogram: list[ScoreCount]


class FeedbackStats(BaseModel):
    """Ratings."""

    total: int
    mean_rating: float | None


class Stats(BaseModel):
    """Everything of one persona, counted."""

    persona: str
    core_memory: CoreMemoryStats
    sessions: SessionStats
    interactions: InteractionStats
    users: int = Field(description="Viewers who ever had a session with the persona.")
    feedback: FeedbackStats
    topics: int
    exports: int
    adapters: int
    deployments: int
