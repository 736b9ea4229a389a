"""Topics as the API shows them."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from memory_service.paging import Page


class TopicItem(BaseModel):
    """A theme of the persona's conversations."""

    id: UUID
    label: str = Field(description="Its most telling words.", examples=["piña · pizza · tribunal"])
    keywords: list[str] = Field(description="More of them, most telling first.")
    interactions: int = Field(description="Exchanges that belong to it.")
    examples: list[str] = Field(description="What viewers said in the exchanges nearest to its centre, up to three.")


class TopicsPage(Page[TopicItem]):
    """Topics, largest first."""

    note: str | None = Field(description="Set when there are no topics: why.")


class RefreshAnswer(BaseModel):
    """What became of the request to find topics again."""

    status: Literal["queued", "already queued"]
