"""Runs: training, followed live."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, render_template, request, stream_with_context
from flask.typing import ResponseReturnValue

from persona_dashboard.adapter_shapes import Metric
from persona_dashboard.charts import loss_chart, rate_chart
from persona_dashboard.contexts import RunFigures, RunPage, RunsPage
from persona_dashboard.doors import doors, numerals, show
from persona_dashboard.folder import NoSuchEntry
from persona_dashboard.live import follow
from persona_dashboard.metrics_tail import MetricsTail
from persona_dashboard.run_store import Run

blueprint = Blueprint("runs", __name__, url_prefix="/runs")


@blueprint.get("")
def index() -> ResponseReturnValue:
    """Runs, newest first."""
    runs = doors().runs.runs()
    faults = tuple(f"{run.adapter_id}/{fault}" for run in runs for fault in run.faults)
    return show("runs/index.html", RunsPage(runs=runs, faults=faults))


@blueprint.get("/<adapter_id>")
def detail(adapter_id: str) -> ResponseReturnValue:
    """One run, drawn as it stands; the script goes on from the byte this page has read."""
    tail = _existing(adapter_id)
    tail.read()
    run = doors().runs.run(adapter_id)
    context = RunPage(
        figures=run_figures(run, tail),
        offset=tail.offset,
        stack=doors().runs.stack(adapter_id),
        faults=tuple(f"{adapter_id}/{fault}" for fault in run.faults),
    )
    return show("runs/detail.html", context)


@blueprint.get("/<adapter_id>/view")
def view(adapter_id: str) -> ResponseReturnValue:
    """The living part of the page alone, for browsers that got no stream."""
    tail = _existing(adapter_id)
    tail.read()
    return _draw(doors().runs.run(adapter_id), tail)


@blueprint.get("/<adapter_id>/events")
def events(adapter_id: str) -> ResponseReturnValue:
    """Server-sent events of one run, from `Last-Event-ID` or `?from=` (bytes of metrics.jsonl) on."""
    tail = _existing(adapter_id)
    streams = doors().streams
    if not streams.enter():
        return "Too many pages follow runs. Close one.\n", 503, {"Retry-After": "10", "Content-Type": "text/plain"}
    gone: Callable[[], bool] = request.environ.get("waitress.client_disconnected", lambda: False)
    runs = doors().runs
    told = follow(lambda: runs.run(adapter_id), tail, _told_already(), _draw, streams, gone)
    response = Response(stream_with_context(told), mimetype="text/event-stream")
    response.headers["X-Accel-Buffering"] = "no"  # a proxy that collects the answer would delay it for ever
    response.call_on_close(streams.leave)
    return response


def run_figures(run: Run, tail: MetricsTail) -> RunFigures:
    """The living part of a run page."""
    points = tail.points
    last = points[-1] if points else None
    return RunFigures(
        run=run,
        loss=loss_chart(points, numerals()),
        rate=rate_chart(points, numerals()),
        points=len(points),
        damaged=tail.damaged,
        loss_now=_latest(points, "loss"),
        eval_now=_latest(points, "eval_loss"),
        tokens_per_second=_latest(points, "tokens_per_second"),
        tokens=last.tokens if last else None,
        elapsed_seconds=last.elapsed_seconds if last else None,
        eta_seconds=last.eta_seconds if last and not run.ended else None,
        learning_rate=_latest(points, "learning_rate"),
    )


def _draw(run: Run, tail: MetricsTail) -> str:
    return render_template("runs/_living.html", figures=run_figures(run, tail))


def _existing(adapter_id: str) -> MetricsTail:
    if not doors().runs.exists(adapter_id):
        raise NoSuchEntry(adapter_id)
    return doors().runs.tail(adapter_id)


def _told_already() -> int:
    told = request.headers.get("Last-Event-ID") or request.args.get("from", "")
    return int(told) if told.isdecimal() and len(told) < 16 else 0


def _latest(points: list[Metric], name: str) -> float | None:
    return next((value for point in reversed(points) if (value := getattr(point, name)) is not None), None)
