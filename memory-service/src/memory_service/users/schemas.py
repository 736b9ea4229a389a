"""Viewers as the API takes and shows them."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class UserItem(BaseModel):
    """One viewer."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    opt_out_training: bool = Field(description="True: nothing this viewer said or heard is ever learned from.")
    sessions: int
    interactions: int
    created_at: datetime


class UserUpdate(BaseModel):
    """The viewer's consent, for all sessions, past and future."""

    opt_out_training: bool


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
