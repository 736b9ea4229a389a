"""What each page's template is given: one dataclass per page, every field explained.

`None` always means "not known, because its source did not answer"; an empty list means "known to be none".
docs/dashboard.md repeats these explanations, and a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from persona_dashboard.adapter_shapes import AdapterManifest
from persona_dashboard.charts import BarChart, Held, LineChart
from persona_dashboard.dataset_shapes import DatasetManifest, DatasetRow
from persona_dashboard.deployment_log import LiveChange, LiveTag
from persona_dashboard.lineage import Constellation
from persona_dashboard.memory_client import ServiceProblem
from persona_dashboard.report_shapes import GateReport, Measure, Replies
from persona_dashboard.run_store import Run
from persona_dashboard.service_shapes import (
    CoreMemoryEntry,
    Deployment,
    Feedback,
    Interaction,
    Recollection,
    Stats,
    SystemPrompt,
    Topic,
)


@dataclass(frozen=True, kw_only=True)
class PageContext:
    """What every page may say."""

    problem: Annotated[ServiceProblem | None, "why the memory service gave no answer; shown above the page"] = None
    faults: Annotated[tuple[str, ...], "files that could not be read, with the reason"] = ()


@dataclass(frozen=True)
class Light:
    """One health light."""

    name: Annotated[str, "the part, as the service calls it"]
    status: Annotated[str, "ok, loading, degraded, failed or unknown"]
    detail: Annotated[str, "what the part said about itself"] = ""
    remedy: Annotated[str, "what to do; empty when it is fine"] = ""


@dataclass(frozen=True, kw_only=True)
class OverviewPage(PageContext):
    """Now: is everything well, and what is going on?"""

    lights: Annotated[list[Light], "one light per part, the worst first"]
    stats: Annotated[Stats | None, "the service's counts"]
    days: Annotated[BarChart | None, "interactions per day; None when there are none"]
    scores: Annotated[BarChart | None, "quality scores; None when there are none"]
    recent: Annotated[list[Interaction] | None, "the last interactions, newest first"]
    running: Annotated[list[Run], "runs that are queued or running, or died"]
    live: Annotated[list[Deployment] | None, "tags that are live"]


@dataclass(frozen=True, kw_only=True)
class CoreMemoryPage(PageContext):
    """Core memory: who the persona is."""

    categories: Annotated[dict[str, list[CoreMemoryEntry]] | None, "entries by category, as the service orders them"]
    prompt: Annotated[SystemPrompt | None, "the generated system prompt"]
    refusal: Annotated[str, "why the last change was refused, in the service's words"] = ""
    immutable_refused: Annotated[bool, "whether it was refused because the entry is immutable"] = False
    draft: Annotated[dict[str, str], "what was typed into a form that was refused"] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class InteractionsPage(PageContext):
    """Interactions: the list."""

    filters: Annotated[dict[str, str], "the filters in force, as typed"]
    wrong: Annotated[tuple[str, ...], "filters that were left out because they are not usable"]
    interactions: Annotated[list[Interaction] | None, "the ones on this page of the list"]
    total: Annotated[int | None, "how many match"]
    next_cursor: Annotated[str | None, "where the next page begins"] = None


@dataclass(frozen=True, kw_only=True)
class InteractionPage(PageContext):
    """One interaction: its text, its score taken apart, what people said, what learned from it."""

    interaction: Annotated[Interaction | None, "the interaction"]
    feedback: Annotated[list[Feedback] | None, "what people said about it"]
    lineage: Annotated[Constellation | None, "the chain from it to deployments"]
    refusal: Annotated[str, "why the last change was refused"] = ""


@dataclass(frozen=True, kw_only=True)
class RecallPage(PageContext):
    """Recall: ask, and see what would be remembered and why."""

    viewer: Annotated[str, "whose memories are searched"]
    question: Annotated[str, "the question"]
    limit: Annotated[int, "how many memories at most"]
    viewers: Annotated[list[str], "known viewers, offered while typing"]
    recollection: Annotated[Recollection | None, "the answer; None before a question"]
    refusal: Annotated[str, "why the question was refused"] = ""


@dataclass(frozen=True, kw_only=True)
class TopicsPage(PageContext):
    """Topics: what people talk about."""

    topics: Annotated[list[Topic] | None, "themes, largest first"]
    note: Annotated[str, "why there are none, in the service's words"] = ""


@dataclass(frozen=True)
class ExportRow:
    """One dataset in the list."""

    export_id: Annotated[str, "its id"]
    manifest: Annotated[DatasetManifest | None, "its manifest on disk"]
    on_disk: Annotated[bool, "whether its folder is here"]
    known: Annotated[bool | None, "whether the service remembers it"]
    tainted: Annotated[bool, "whether it holds what somebody had erased since"] = False


@dataclass(frozen=True, kw_only=True)
class ExportsPage(PageContext):
    """Datasets: the list, disk and service joined."""

    exports: Annotated[list[ExportRow], "datasets, newest first"]


@dataclass(frozen=True)
class FunnelStage:
    """One stage of the funnel, drawn."""

    stage: Annotated[str, "its name"]
    kept: Annotated[int, "interactions left after it"]
    dropped: Annotated[int, "interactions it took out"]
    why: Annotated[str, "the rule in words"]
    kept_share: Annotated[float, "kept, in percent of the beginning"]
    dropped_share: Annotated[float, "dropped, in percent of the beginning"]


@dataclass(frozen=True, kw_only=True)
class ExportPage(PageContext):
    """One dataset: funnel, scores, splits, hashes, samples."""

    export_id: Annotated[str, "its id"]
    manifest: Annotated[DatasetManifest | None, "its manifest, from disk or from the service"]
    on_disk: Annotated[bool, "whether its files are here"]
    funnel: Annotated[list[FunnelStage], "from all interactions to the dataset"]
    scores: Annotated[BarChart | None, "quality scores of its rows"]
    samples: Annotated[list[DatasetRow] | None, "the first rows"]
    split: Annotated[str, "the split the samples come from"]
    learners: Annotated[list[str], "adapters on disk that learned from it"]


@dataclass(frozen=True, kw_only=True)
class RunsPage(PageContext):
    """Runs: the list."""

    runs: Annotated[list[Run], "runs, newest first"]


@dataclass(frozen=True)
class RunFigures:
    """The part of a run page that lives."""

    run: Annotated[Run, "status, stage, step"]
    loss: Annotated[LineChart | None, "training and validation loss by step"]
    rate: Annotated[LineChart | None, "learning rate by step"]
    points: Annotated[int, "points read from metrics.jsonl"]
    damaged: Annotated[int, "lines of it that could not be read"]
    loss_now: Annotated[float | None, "last training loss"]
    eval_now: Annotated[float | None, "last validation loss"]
    tokens_per_second: Annotated[float | None, "last measured speed"]
    tokens: Annotated[int | None, "tokens seen so far"]
    elapsed_seconds: Annotated[float | None, "time since the run began"]
    eta_seconds: Annotated[float | None, "time left; None when the run ended"]
    learning_rate: Annotated[float | None, "last learning rate"]


@dataclass(frozen=True, kw_only=True)
class RunPage(PageContext):
    """One run, followed while it trains."""

    figures: Annotated[RunFigures, "the living part"]
    offset: Annotated[int, "byte of metrics.jsonl up to which the page already knows"]
    stack: Annotated[list[AdapterManifest], "the layers, lowest first"]


@dataclass(frozen=True, kw_only=True)
class ReportsPage(PageContext):
    """Gate: the list of reports."""

    reports: Annotated[dict[str, GateReport], "reports by adapter id, newest first"]


@dataclass(frozen=True, kw_only=True)
class ReportPage(PageContext):
    """One gate report."""

    adapter_id: Annotated[str, "the adapter it judges"]
    report: Annotated[GateReport, "the report"]
    measures: Annotated[list[tuple[Measure, Held]], "figures with every comparison and its drawn interval"]
    replies: Annotated[list[tuple[Replies, float]], "replies with their change in [0, 1], most changed first"]
    has_page: Annotated[bool, "whether report.html is there"]


@dataclass(frozen=True)
class Version:
    """One adapter with what is known of it from both doors."""

    adapter_id: Annotated[str, "its id"]
    manifest: Annotated[AdapterManifest | None, "its manifest on disk"]
    status: Annotated[str, "how its training stands"]
    verdict: Annotated[str | None, "the gate's verdict; None before the gate"]
    deployments: Annotated[list[Deployment] | None, "where it was deployed"]
    on_disk: Annotated[bool, "whether its folder is here"]
    tainted: Annotated[bool, "whether it learned from what somebody had erased since"] = False


@dataclass(frozen=True, kw_only=True)
class AdaptersPage(PageContext):
    """Versions: the list."""

    versions: Annotated[list[Version], "adapters, newest first"]


@dataclass(frozen=True, kw_only=True)
class AdapterPage(PageContext):
    """One version and its chain."""

    version: Annotated[Version, "the adapter"]
    lineage: Annotated[Constellation, "the chain from interactions to deployments"]
    stack: Annotated[list[AdapterManifest], "the layers, lowest first"]


@dataclass(frozen=True, kw_only=True)
class DeploymentsPage(PageContext):
    """Deployments: what is live, what was, and the way back."""

    live_tags: Annotated[list[LiveTag], "tags clients use, with what they are and what they were before"]
    changes: Annotated[list[LiveChange], "what became live, newest first, with who asked and why"]
    can_roll_back: Annotated[bool, "whether the deploy program is installed on this machine"]
    refusal: Annotated[str, "why a rollback did not happen, in the program's words"] = ""
    unchanged: Annotated[bool, "whether a rollback that did not happen left everything as it was"] = True


@dataclass(frozen=True, kw_only=True)
class PatternsPage(PageContext):
    """Every component of the interface on one page."""

    figures: Annotated[RunFigures, "a run drawn from example figures"]
    scores: Annotated[BarChart | None, "an example histogram"]
    lineage: Annotated[Constellation, "an example chain"]
    lights: Annotated[list[Light], "a light of each kind"]
    funnel: Annotated[list[FunnelStage], "an example funnel"]
    measures: Annotated[list[tuple[Measure, Held]], "a figure of each verdict"]


@dataclass(frozen=True, kw_only=True)
class FailurePage(PageContext):
    """A page that could not be made, with what to do."""

    status: Annotated[int, "the HTTP status"]
    reason: Annotated[str, "the name of the explanation in the catalogue"]
    detail: Annotated[str, "what was asked for"] = ""
