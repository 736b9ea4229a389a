"""Feedback as the API takes and shows it."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from memory_service.fields import Storable, UserId, Utterance

Comment = Annotated[str, Field(max_length=4000), Storable]


class FeedbackCreate(BaseModel):
    """A person's opinion of one reply."""

    rating: int = Field(ge=1, le=5, description="1 (bad) to 5 (excellent).")
    comment: Comment | None = None
    corrected_output: Utterance | None = Field(None, min_length=1, description="What should have been said instead.")
    user_id: UserId | None = Field(None, description="Who rates, when it is known.")


class FeedbackItem(BaseModel):
    """A stored opinion."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    interaction_id: UUID
    user_id: str | None
    rating: int
    comment: str | None
    corrected_output: str | None
    created_at: datetime


class FeedbackStored(FeedbackItem):
    """A stored opinion and what it did to the interaction."""

    quality_score: float = Field(description="The interaction's score now: the mean of all its ratings, on 0 to 1.")
