"""Adapters, reports, deployments and lineage as the API takes and shows them.

The manifest and the report mirror lora_adapters/schema/{adapter,report}-v1.schema.json; a test holds both together.
Further keys are kept as they are.
"""

import json
from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from memory_service.fields import Metadata, Storable

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Timestamp = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z$")]
Name = Annotated[str, Field(min_length=1), Storable]
# Whole numbers stay whole: the stored manifest reads as the one on disk.
Number = int | float
Verdict = Literal["pass", "fail", "inconclusive"]


class _Open(BaseModel):
    """Keeps keys it does not know; takes numbers for numbers only, as JSON Schema does."""

    model_config = ConfigDict(extra="allow", strict=True)


class _Document(_Open):
    """A file's whole content, stored as JSON."""

    @model_validator(mode="after")
    def _can_be_stored(self) -> Self:
        try:
            written = json.dumps(self.model_dump(), allow_nan=False)
        except ValueError:
            raise ValueError("the document cannot contain NaN or infinite numbers") from None
        if "\\u0000" in written:
            raise ValueError("texts cannot contain the NUL character")
        return self


class Week(_Open):
    """ISO week of an episodic adapter."""

    year: int
    number: int = Field(ge=1, le=53)


class BaseModelRef(_Open):
    """The frozen model underneath."""

    name: Name
    sha256: Sha256 | None


class ParentRef(_Open):
    """The adapter this one was trained on top of."""

    adapter_id: Name
    weights_sha256: Sha256


class DatasetRef(_Open):
    """What it learned from; without an export id when the rows came from a bare file."""

    export_id: Annotated[str, Storable] | None
    sha256: Sha256
    rows: int = Field(ge=1)


class ReplayRef(_Open):
    """Rows of another dataset, mixed in against forgetting."""

    export_id: Name
    share: Number = Field(ge=0, le=1)
    rows: int = Field(ge=0)


class RecipeRef(_Open):
    """How it was trained."""

    name: Name
    sha256: Sha256
    config: dict[str, Any]


class Lora(_Open):
    """The adapter's shape, in peft's names."""

    r: int = Field(ge=1)
    lora_alpha: Number = Field(gt=0)
    lora_dropout: Number = Field(ge=0, lt=1)
    target_modules: list[str] = Field(min_length=1)


class Weights(_Open):
    """The file that holds what was learned."""

    file: Name
    sha256: Sha256


class Result(_Open):
    """What came out of the run."""

    steps: int = Field(ge=0)
    epochs: Number = Field(ge=0)
    train_loss: Number | None
    eval_loss: Number | None
    tokens: int = Field(ge=0)
    seconds: Number = Field(ge=0)
    tokens_per_second: Annotated[Number, Field(ge=0)] | None


class AdapterManifest(_Document):
    """lora_adapters/<adapter_id>/manifest.json of a finished run."""

    schema_: Literal["casiopy/adapter-v1"] = Field(alias="schema")
    adapter_id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*-[0-9]{8}T[0-9]{6}$", max_length=120)
    layer: Literal[1, 2, 3]
    persona: Name
    week: Week | None
    status: Literal["finished"] = Field(description="Runs are registered when they are finished.")
    base_model: BaseModelRef
    parent: ParentRef | None
    dataset: DatasetRef
    replay: list[ReplayRef]
    recipe: RecipeRef
    backend: Name
    device: Name
    dtype: Name
    seed: int
    pins: dict[str, str]
    chat_template_sha256: Sha256
    lora: Lora
    weights: Weights
    result: Result
    created_at: Timestamp
    finished_at: Timestamp


class ModelRef(_Open):
    """A model the gate looked at."""

    name: Name
    adapter_id: Annotated[str, Storable] | None
    weights_sha256: Sha256 | None


class GateReport(_Document):
    """lora_adapters/<adapter_id>/summary.json; what the service reads of it, the rest is kept as it is."""

    schema_: Literal["casiopy/report-v1"] = Field(alias="schema")
    report_id: str = Field(min_length=1, max_length=200)
    created_at: Timestamp
    candidate: ModelRef
    reference: ModelRef | None
    floor: dict[str, Any]
    battery: dict[str, Any]
    seed: int
    serving: dict[str, Any]
    verdict: Verdict
    reasons: list[str]
    hard_fails: list[dict[str, Any]]
    metrics: list[dict[str, Any]]
    replies: list[dict[str, Any]]


class DeploymentCreate(BaseModel):
    """An adapter put on a model server under a tag."""

    tag: Name = Field(max_length=255, examples=["casiopy:week04"])
    host: Name = Field(max_length=1024, examples=["http://127.0.0.1:11434"])
    live: bool = Field(description="True when this tag answers viewers from now on; the one before it is retired.")
    smoke: Metadata = Field(default_factory=dict, description="What the smoke test asked and got.")


class DeploymentItem(BaseModel):
    """A deployment, past or present."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    adapter_id: str
    tag: str
    host: str
    live: bool = Field(description="Serving now: deployed live and not retired since.")
    smoke: dict[str, Any]
    deployed_at: datetime
    retired_at: datetime | None


class AdapterItem(BaseModel):
    """An adapter as lists show it."""

    model_config = ConfigDict(from_attributes=True)

    adapter_id: str
    layer: int
    persona: str
    week: dict[str, Any] | None
    status: Literal["trained", "evaluated", "deployed", "retired"]
    verdict: Verdict | None = Field(description="The gate's last word; null before it has spoken.")
    base_model: dict[str, Any]
    parent: dict[str, Any] | None
    dataset: dict[str, Any]
    export_id: str | None
    weights_sha256: str
    result: dict[str, Any]
    created_at: datetime = Field(description="When it was registered.")
    tainted_at: datetime | None = Field(description="Since when it holds what somebody had erased; null: never.")


class AdapterDetail(AdapterItem):
    """An adapter with everything known about it."""

    manifest: dict[str, Any]
    report: dict[str, Any] | None
    deployments: list[DeploymentItem]


class Lineage(BaseModel):
    """One chain: interaction → export → adapter → deployment, asked from either end."""

    interactions: list[UUID] = Field(description="Ids; erased interactions are still named.")
    exports: list[dict[str, Any]] = Field(description="{export_id, type, week, created_at, dataset_sha256, tainted_at}")
    adapters: list[dict[str, Any]] = Field(
        description="{adapter_id, layer, status, verdict, export_id, parent, dataset, created_at, tainted_at}"
    )
    deployments: list[dict[str, Any]] = Field(description="{adapter_id, tag, host, live, deployed_at, retired_at}")
