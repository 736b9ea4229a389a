"""Viewers as the API takes and shows them."""

from datetime import datetime

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
