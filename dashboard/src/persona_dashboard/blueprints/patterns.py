"""Patterns: every component of the interface on one page, drawn from example figures that say so."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

from flask import Blueprint
from flask.typing import ResponseReturnValue

from persona_dashboard.adapter_shapes import Metric, RunHeartbeat
from persona_dashboard.blueprints.exports import funnel_stages
from persona_dashboard.blueprints.runs import run_figures
from persona_dashboard.charts import score_bins, score_chart, whiskers
from persona_dashboard.contexts import Light, PatternsPage
from persona_dashboard.dataset_shapes import Stage
from persona_dashboard.doors import numerals, show, words
from persona_dashboard.lineage import Link, constellation
from persona_dashboard.metrics_tail import MetricsTail
from persona_dashboard.report_shapes import Measure
from persona_dashboard.run_store import Run

blueprint = Blueprint("patterns", __name__, url_prefix="/patterns")


@blueprint.get("")
def index() -> ResponseReturnValue:
    """The pattern page."""
    measures = [_measure(*row) for row in (("pass", 0.62, 0.05), ("inconclusive", 0.58, -0.01), ("fail", 0.4, -0.2))]
    context = PatternsPage(
        figures=run_figures(_run(), MetricsTail(Path("metrics.jsonl"), points=_points())),
        scores=score_chart(score_bins([0.15, 0.35, 0.55, 0.62, 0.66, 0.71, 0.74, 0.78, 0.83, 0.91]), numerals()),
        lineage=constellation(_chain()),
        lights=[
            Light("database", "ok", "PostgreSQL 18"),
            Light("embedder", "loading", "", words()("remedy.embedder")),
            Light("worker", "failed", "", words()("remedy.worker")),
        ],
        funnel=funnel_stages(
            [
                Stage(stage="recorded", kept=320, dropped=0),
                Stage(stage="consent", kept=298, dropped=22, why="opt-out"),
                Stage(stage="quality", kept=190, dropped=108, why="< 0.6"),
            ]
        ),
        measures=[(measure, whiskers(measure)) for measure in measures],
    )
    return show("patterns/index.html", context)


def _run() -> Run:
    now = datetime.now(UTC)
    beat = RunHeartbeat(status="running", stage="training", step=60, total_steps=80, heartbeat_at=now)
    return Run("example", None, beat, "running", now)


def _points() -> list[Metric]:
    return [
        Metric(
            step=step,
            total_steps=80,
            loss=1.1 + 2.4 * math.exp(-step / 18) + 0.06 * math.sin(step * 1.7),
            eval_loss=1.25 + 2.2 * math.exp(-step / 18) if step % 20 == 0 else None,
            learning_rate=2e-4 * min(step / 8, (88 - step) / 80),
            tokens=step * 900,
            tokens_per_second=410.0,
            elapsed_seconds=step * 2.2,
            eta_seconds=(80 - step) * 2.2,
        )
        for step in range(1, 61)
    ]


def _chain() -> list[Link]:
    return [
        Link("interactions", "interactions", words()("lineage.interactions", count="190")),
        Link("exports", "personality-0a1b2c3d", "personality-0a1b2c3d", ("interactions",)),
        Link("adapters", "layer-1", "personality-20260131", ("personality-0a1b2c3d",), bright=True),
        Link("deployments", "tag", "casiopy:week05", ("layer-1",), note=words()("lineage.live")),
    ]


def _measure(verdict: str, candidate: float, difference: float) -> Measure:
    return Measure(
        name="marker_rate",
        title="Marker rate",
        unit="share",
        floor=0.02,
        reference=0.59,
        candidate=candidate,
        difference=difference,
        interval=(difference - 0.06, difference + 0.06),
        margin=0.05,
        verdict=verdict,
    )
