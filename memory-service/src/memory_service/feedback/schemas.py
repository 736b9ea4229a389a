"""Feedback as the API takes and shows it."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from memory_service.fields import Storable, UserId, Utterance
from memory_service.models import MAX_TEXT

Comment = Annotated[str, Field(max_length=4000), Storable]


Discarded = Annotated[str, Field(min_length=1, max_length=MAX_TEXT), Storable]


class FeedbackCreate(BaseModel):
    """A person's word on one reply: a rating, what should have been said instead, or what was swiped away for it."""

    rating: int | None = Field(None, ge=1, le=5, description="1 (bad) to 5 (excellent).")
    comment: Comment | None = None
    corrected_output: Utterance | None = Field(None, min_length=1, description="What should have been said instead.")
    discarded_outputs: list[Discarded] = Field(
        default_factory=list,
        max_length=20,
        description="Other replies to the same message that the person swiped away in favour of the stored one.",
    )
    user_id: UserId | None = Field(None, description="Who says it, when it is known.")

    @model_validator(mode="after")
    def _says_something(self) -> "FeedbackCreate":
        if self.rating is None and self.corrected_output is None and not self.discarded_outputs:
            raise ValueError("feedback needs a `rating`, a `corrected_output` or `discarded_outputs`")
        return self


class FeedbackItem(BaseModel):
    """A stored opinion."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    interaction_id: UUID
    user_id: str | None
    rating: int | None
    comment: str | None
    corrected_output: str | None
    discarded_outputs: list[str]
    created_at: datetime


class FeedbackStored(FeedbackItem):
    """A stored opinion and what it did to the interaction."""

    quality_score: float = Field(
        description="The interaction's score now: the mean of all its ratings, on 0 to 1; without any, the scorer's."
    )
