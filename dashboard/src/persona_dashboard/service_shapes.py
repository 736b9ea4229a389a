"""What the memory service answers, as far as the dashboard shows it; keys it does not know are ignored."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

Item = TypeVar("Item")
# Ids of exports and adapters name folders: letters, digits, dots, dashes; none begins with a dot.
FOLDER_ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
FolderId = Annotated[str, Field(pattern=f"^{FOLDER_ID}$")]


class Shape(BaseModel):
    """Base of everything read from outside: immutable, lenient about extra keys, ids always text."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, coerce_numbers_to_str=True, populate_by_name=True, protected_namespaces=()
    )


class Listing(Shape, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    total: int
    next_cursor: str | None = None


class Check(Shape):
    """One part of the service and how it is."""

    status: str
    detail: str | None = None
    model: str | None = None
    dimension: int | None = None


class Health(Shape):
    """The service's own judgement of its parts."""

    status: str
    version: str | None = None
    checks: dict[str, Check] = Field(default_factory=dict)


class DayCount(Shape):
    """Interactions on one day."""

    day: date
    count: int


class ScoreBin(Shape):
    """Interactions whose quality score lies in [lower, upper)."""

    lower: float = Field(validation_alias=AliasChoices("from", "lower"))
    upper: float = Field(validation_alias=AliasChoices("to", "upper"))
    count: int


class CoreMemoryCounts(Shape):
    """How much core memory there is."""

    total: int
    immutable: int


class SessionCounts(Shape):
    """How many sessions there are."""

    total: int
    open: int
    opted_out: int


class InteractionCounts(Shape):
    """How many interactions there are and what became of them."""

    total: int
    pending_embeddings: int
    dropped: int
    training_ready: int
    by_day: tuple[DayCount, ...] = ()
    quality_histogram: tuple[ScoreBin, ...] = ()


class FeedbackCounts(Shape):
    """How much feedback there is; the mean rating is 1 to 5."""

    total: int
    mean_rating: float | None = None


class Stats(Shape):
    """The service's counts for one persona."""

    persona: str | None = None
    core_memory: CoreMemoryCounts
    sessions: SessionCounts
    interactions: InteractionCounts
    users: int
    feedback: FeedbackCounts
    topics: int
    exports: int
    adapters: int
    deployments: int


class CoreMemoryEntry(Shape):
    """One fact of the persona; only mutable ones may be edited or deleted."""

    id: str
    category: str
    key: str
    value: str
    is_mutable: bool
    created_at: datetime | None = None
    updated_at: datetime | None = None


class SystemPrompt(Shape):
    """The prompt the service writes from core memory."""

    system_prompt: str
    entries: int | None = None
    sha256: str | None = None


class Session(Shape):
    """One conversation with a viewer."""

    id: str
    user_id: str
    opt_out_training: bool = False
    started_at: datetime | None = None
    ended_at: datetime | None = None
    interactions: int | None = None


class Drop(Shape):
    """A rule that keeps an interaction out of training, and why it applied."""

    rule: str
    why: str = ""


class Signal(Shape):
    """One part of the quality score; the value lies in [0, 1]."""

    name: str
    value: float
    weight: float
    why: str = ""


class Quality(Shape):
    """A quality score taken apart."""

    score: float | None = None
    drops: tuple[Drop, ...] = ()
    signals: tuple[Signal, ...] = ()
    scorer_version: str | None = None


class Interaction(Shape):
    """One exchange: what the viewer said and what the persona replied."""

    id: str
    session_id: str
    user_id: str
    input_text: str
    output_text: str = ""
    input_emotion: str | None = None
    output_emotion: str | None = None
    model_version: str | None = None
    occurred_at: datetime
    quality_score: float | None = None
    quality_source: str | None = None
    quality: Quality | None = None
    opt_out_training: bool = False
    embedding_status: str = "pending"

    @property
    def dropped(self) -> bool:
        """Whether a rule keeps it out of training."""
        return bool(self.quality and self.quality.drops)


class Feedback(Shape):
    """A person's judgement of one interaction; the rating is 1 to 5."""

    rating: int | None = None
    comment: str | None = None
    corrected_output: str | None = None
    user_id: str | None = None
    created_at: datetime | None = None


class Topic(Shape):
    """A theme found in the interactions; examples are texts or objects that carry one."""

    id: str
    label: str
    keywords: tuple[str, ...] = ()
    interactions: int = 0
    examples: tuple[str | dict[str, Any], ...] = ()


class Topics(Shape):
    """Themes, or a note why there are none."""

    items: list[Topic]
    note: str | None = None


class ArmRank(Shape):
    """Where one arm of recall placed a memory."""

    rank: int | None = None
    score: float | None = None


class Explanation(Shape):
    """Why a memory was recalled."""

    dense: ArmRank | None = None
    lexical: ArmRank | None = None
    fused: float | None = None
    reason: str = ""


class Recalled(Shape):
    """One memory that recall found."""

    id: str
    source: str = "interaction"
    content: str
    created_at: datetime | None = None
    relevance_score: float
    session_id: str | None = None
    explain: Explanation | None = None


class Recollection(Shape):
    """Recall's whole answer: memories, best first, and the text a prompt would carry."""

    memories: list[Recalled]
    context_summary: str = ""


class ExportRecord(Shape):
    """An export as the service remembers it."""

    export_id: FolderId = Field(validation_alias=AliasChoices("export_id", "id"))
    type: str | None = None
    created_at: datetime | None = None
    dataset_sha256: str | None = None
    tainted_at: datetime | None = None


class AdapterRecord(Shape):
    """An adapter as the service remembers it."""

    adapter_id: FolderId = Field(validation_alias=AliasChoices("adapter_id", "id"))
    layer: int | None = None
    status: str | None = None
    verdict: str | None = Field(None, validation_alias=AliasChoices("verdict", "gate_verdict"))
    created_at: datetime | None = None
    dataset: dict[str, Any] | None = None
    parent: dict[str, Any] | None = None
    tainted_at: datetime | None = None


class Deployment(Shape):
    """An adapter served under a tag."""

    tag: str
    adapter_id: str | None = None
    host: str | None = None
    live: bool = False
    created_at: datetime | None = Field(None, validation_alias=AliasChoices("created_at", "deployed_at"))
    smoke: dict[str, Any] = Field(default_factory=dict)

    @property
    def forced(self) -> str:
        """Why the gate was overruled; empty when it was not."""
        return str(self.smoke.get("forced") or "")

    @property
    def why(self) -> str:
        """Why it was rolled back to; empty when it was not, or nobody said."""
        return str(self.smoke.get("why") or "")


class Lineage(Shape):
    """The chain one interaction or adapter belongs to."""

    interactions: int | list[str | dict[str, Any]] = 0
    exports: tuple[ExportRecord, ...] = ()
    adapters: tuple[AdapterRecord, ...] = ()
    deployments: tuple[Deployment, ...] = ()

    @property
    def interaction_count(self) -> int:
        """How many interactions stand at the chain's beginning."""
        return self.interactions if isinstance(self.interactions, int) else len(self.interactions)
