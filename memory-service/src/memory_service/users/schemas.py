"""Viewers as the API takes and shows them."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class UserItem(BaseModel):
    """One viewer."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    opt_out_training: bool = Field(description="True: nothing this viewer said or heard is ever learned from.")
    opt_out_recall: bool = Field(description="True: nothing of this viewer is recalled in conversation.")
    sessions: int
    interactions: int
    created_at: datetime


class UserUpdate(BaseModel):
    """The viewer's consent, for all sessions, past and future. What is absent stays as it is."""

    opt_out_training: bool | None = None
    opt_out_recall: bool | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.opt_out_training is None and self.opt_out_recall is None:
            raise ValueError("Nothing to change. Send opt_out_training, opt_out_recall or both.")
        return self


class Context(BaseModel):
    """What a model may be told of a viewer, ready for its prompt."""

    user_id: str
    context: str = Field(examples=["User Information:\n- name: John\n- likes: Python"])
    has_memories: bool


class Profile(BaseModel):
    """What is known of a viewer, by field."""

    user_id: str
    memories: dict[str, Any] = Field(examples=[{"name": "John", "likes": ["Python"], "age": 28}])


class FieldsSet(BaseModel):
    """What a batch changed."""

    success: Literal[True] = True
    updated_fields: list[str] = Field(description="Those whose value is another one now, as they were sent.")
    total_fields: int = Field(description="Fields with a value now.")


class MemoriesDeleted(BaseModel):
    """What is gone."""

    message: str
