"""What the files of the two seams hold, as far as the dashboard shows it; keys it does not know are ignored."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field, model_validator

from persona_dashboard.service_shapes import FolderId, Shape


class Persona(Shape):
    """Whom a dataset teaches."""

    slug: str
    name: str = ""


class Week(Shape):
    """The ISO week a dataset covers."""

    year: int
    number: int
    timezone: str | None = None
    starts_at: datetime | None = Field(None, alias="from")
    ends_at: datetime | None = Field(None, alias="to")


class Stage(Shape):
    """One step of the funnel from all interactions to the dataset."""

    stage: str
    kept: int
    dropped: int
    why: str = ""


class Split(Shape):
    """One file of a dataset."""

    file: str
    rows: int
    sha256: str


class RowPin(Shape):
    """One interaction a dataset learned from."""

    interaction_id: str
    split: str
    quality_score: float | None = None


class DatasetManifest(Shape):
    """exports/<export_id>/manifest.json"""

    export_id: FolderId
    type: str
    format: str
    persona: Persona
    created_at: datetime
    week: Week | None = None
    filters: dict[str, Any] = Field(default_factory=dict)
    scorer_version: str | None = None
    redaction_version: str | None = None
    system_prompt_sha256: str | None = None
    funnel: tuple[Stage, ...] = ()
    splits: dict[str, Split] = Field(default_factory=dict)
    rows: tuple[RowPin, ...] = ()
    dataset_sha256: str

    @property
    def row_count(self) -> int:
        """Rows in all splits."""
        return sum(split.rows for split in self.splits.values())


class Message(Shape):
    """One message of a dataset row."""

    role: str
    content: str


class DatasetRow(Shape):
    """One line of train.jsonl or val.jsonl, whatever its format; of judged replies ✓ marks the wanted and ✗ the unwanted."""

    messages: list[Message]
    metadata: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _as_messages(cls, row: Any) -> Any:
        if not isinstance(row, dict) or "messages" in row:
            return row
        try:
            return {"messages": _messages(row), "metadata": row.get("metadata", {})}
        except (KeyError, TypeError, ValueError):
            return row  # damaged: the field that is missing is named


_SHAREGPT = {"system": "system", "human": "user", "gpt": "assistant"}


def _messages(row: dict[str, Any]) -> list[dict[str, str]]:
    if "conversations" in row:
        return [{"role": _SHAREGPT[said["from"]], "content": said["value"]} for said in row["conversations"]]
    if "instruction" in row:
        system = [{"role": "system", "content": row["system"]}] if row["system"] else []
        turns = [*row["history"], [row["instruction"], row["output"]]]
        exchanges = [(("user", asked), ("assistant", answered)) for asked, answered in turns]
        return system + [{"role": role, "content": said} for both in exchanges for role, said in both]
    replies = [(row["chosen"], "✓"), (row["rejected"], "✗")] if "chosen" in row else []
    replies = replies or [(row["completion"], "✓" if row["label"] else "✗")]
    marked = [message | {"content": f"{mark} {message['content']}"} for reply, mark in replies for message in reply]
    return [*row["prompt"], *marked]


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


class Contender(Shape):
    """A model in a gate report."""

    name: str
    adapter_id: str | None = None
    weights_sha256: str | None = None


class Battery(Shape):
    """The probes a report was made with."""

    name: str
    version: str | None = None
    probes: int | None = None
    samples: int | None = None
    dialogues: int | None = None


class HardFail(Shape):
    """A reply that fails the gate whatever the figures say."""

    rule: str
    probe: str = ""
    reply: str = ""


class HardRule(Shape):
    """A rule of the gate, and whether it was broken more often than it tolerates."""

    rule: str = ""
    broken: bool = True


class Comparison(Shape):
    """A figure of a gate report held against one other voice, or judged by itself ("alone")."""

    opponent: str = ""
    difference: float | None = None
    interval: tuple[float | None, float | None] | None = None
    allowed: tuple[float | None, float | None] | None = None
    verdict: str = ""


class Measure(Shape):
    """One figure of a gate report, with the interval of the difference to the reference."""

    name: str
    title: str = ""
    unit: str = ""
    direction: str = "higher"
    floor: float | None = None
    ceiling: float | None = None
    """The level of the hand-written references."""
    golden: float | None = None
    reference: float | None = None
    candidate: float | None = None
    noise: float | None = None
    """How far two hearings of the same voice lie apart by chance."""
    difference: float | None = None
    interval: tuple[float | None, float | None] | None = None
    margin: float | tuple[float, float] | None = None
    allowed: tuple[float | None, float | None] | None = None
    """Where the difference may lie; None on an open side."""
    comparisons: tuple[Comparison, ...] = ()
    advisory: bool = False
    verdict: str
    explain: str = ""
    why: str = ""
    """What keeps it from being decided, and what would tell."""

    def held_against(self) -> tuple[Comparison, ...]:
        """Every comparison; older reports have one, without saying with whom."""
        if self.comparisons or self.difference is None:
            return self.comparisons
        one = Comparison(difference=self.difference, interval=self.interval, allowed=self.allowed, verdict=self.verdict)
        return (one,)


class NotMeasured(Shape):
    """A figure that decided nothing, and why."""

    name: str = ""
    title: str = ""
    reason: str = ""


class Replies(Shape):
    """What the models answered to one probe."""

    probe: str
    facet: str = ""
    prompt: str = ""
    floor: str | None = None
    golden: str | None = None
    reference: str | None = None
    candidate: str | None = None


class GateReport(Shape):
    """lora_adapters/<adapter_id>/summary.json"""

    report_id: str
    created_at: datetime
    candidate: Contender
    reference: Contender | None = None
    golden: Contender | None = None
    """The pinned version, against a slow decline."""
    floor: Contender
    battery: Battery | None = None
    seed: int | None = None
    serving: dict[str, Any] = Field(default_factory=dict)
    verdict: str
    reasons: tuple[str, ...] = ()
    hard_fails: tuple[HardFail, ...] = ()
    hard_rules: tuple[HardRule, ...] = ()
    metrics: tuple[Measure, ...] = ()
    not_measured: tuple[NotMeasured, ...] = ()
    replies: tuple[Replies, ...] = ()

    @property
    def intolerable(self) -> tuple[HardFail, ...]:
        """Replies that break a rule, without the stray ones a rule tolerates."""
        tolerated = {one.rule for one in self.hard_rules if not one.broken}
        return tuple(fail for fail in self.hard_fails if fail.rule not in tolerated)
