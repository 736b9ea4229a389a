"""What the answer to an erasure looks like."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class Deleted(BaseModel):
    """How many rows of each kind are gone."""

    model_config = ConfigDict(from_attributes=True)

    sessions: int
    interactions: int
    memories: int
    feedback: int = Field(description="On the viewer's exchanges, and the viewer's own on others'.")
    summaries: int
    vectors: int


class TaintedDeployment(BaseModel):
    """A deployment of an adapter that learned from the viewer."""

    id: UUID
    adapter_id: str
    tag: str
    host: str
    live: bool


class Tainted(BaseModel):
    """What learned from the viewer's exchanges: train it again without them."""

    model_config = ConfigDict(from_attributes=True)

    exports: list[str]
    adapters: list[str]
    deployments: list[TaintedDeployment]


class Erased(BaseModel):
    """What an erasure did."""

    user_id: str
    deleted: Deleted
    tainted: Tainted
    message: str
