"""What an adapter's folder holds of its training, as far as the dashboard shows it; keys it does not know are ignored."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from persona_dashboard.dataset_shapes import Week
from persona_dashboard.service_shapes import FolderId, Shape


class BaseModelPin(Shape):
    """The base model an adapter was trained on."""

    name: str
    sha256: str | None = None


class ParentPin(Shape):
    """The adapter below this one."""

    adapter_id: FolderId
    weights_sha256: str | None = None


class DatasetPin(Shape):
    """The dataset an adapter learned from; without an id when its rows came from a file without a manifest."""

    export_id: FolderId | None = None
    sha256: str | None = None
    rows: int | None = None


class Replay(Shape):
    """An older dataset mixed in against forgetting; the share lies in [0, 1]."""

    export_id: FolderId
    share: float | None = None
    rows: int | None = None


class Recipe(Shape):
    """How it was trained."""

    name: str
    sha256: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)


class Weights(Shape):
    """The trained file."""

    file: str
    sha256: str


class Result(Shape):
    """How training ended; losses in nats per token."""

    steps: int | None = None
    epochs: float | None = None
    train_loss: float | None = None
    eval_loss: float | None = None
    tokens: int | None = None
    seconds: float | None = None
    tokens_per_second: float | None = None


class AdapterManifest(Shape):
    """lora_adapters/<adapter_id>/manifest.json"""

    adapter_id: FolderId
    layer: int
    persona: str | dict[str, Any] | None = None
    week: Week | None = None
    status: str
    base_model: BaseModelPin
    parent: ParentPin | None = None
    dataset: DatasetPin | None = None
    replay: tuple[Replay, ...] = ()
    recipe: Recipe | None = None
    backend: str | None = None
    device: str | None = None
    dtype: str | None = None
    seed: int | None = None
    pins: dict[str, Any] = Field(default_factory=dict)
    chat_template_sha256: str | None = None
    lora: dict[str, Any] = Field(default_factory=dict)
    weights: Weights | None = None
    result: Result | None = None
    created_at: datetime
    finished_at: datetime | None = None


class WaitingFor(Shape):
    """The run that has the device a queued one waits for."""

    device: str
    adapter_id: FolderId
    since: str = ""


class RunHeartbeat(Shape):
    """lora_adapters/<adapter_id>/run.json"""

    status: str
    stage: str | None = None
    step: int = 0
    total_steps: int | None = None
    heartbeat_at: datetime
    started_at: datetime | None = None
    message: str | None = None
    pid: int | None = None
    waiting_for: WaitingFor | None = None


class Metric(Shape):
    """One line of metrics.jsonl: one optimiser step; losses in nats per token."""

    step: int
    total_steps: int | None = None
    epoch: float | None = None
    loss: float | None = None
    eval_loss: float | None = None
    learning_rate: float | None = None
    tokens: int | None = None
    tokens_per_second: float | None = None
    elapsed_seconds: float | None = None
    eta_seconds: float | None = None
