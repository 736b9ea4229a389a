"""Gate: is the candidate still herself? Reports as figures, intervals and replies side by side."""

from __future__ import annotations

from difflib import SequenceMatcher

from flask import Blueprint, send_file
from flask.typing import ResponseReturnValue

from persona_dashboard.charts import whiskers
from persona_dashboard.contexts import ReportPage, ReportsPage
from persona_dashboard.doors import doors, show
from persona_dashboard.folder import NoSuchEntry
from persona_dashboard.report_shapes import Replies
from persona_dashboard.security import REPORT_POLICY

blueprint = Blueprint("gate", __name__, url_prefix="/gate")


@blueprint.get("")
def index() -> ResponseReturnValue:
    """Reports, newest first."""
    readings = doors().runs.reports()
    faults = tuple(f"{adapter_id}/{reading.fault}" for adapter_id, reading in readings.items() if reading.fault)
    reports = {adapter_id: reading.value for adapter_id, reading in readings.items() if reading.value}
    newest_first = dict(sorted(reports.items(), key=lambda item: item[1].created_at.timestamp(), reverse=True))
    return show("gate/index.html", ReportsPage(reports=newest_first, faults=faults))


@blueprint.get("/<adapter_id>")
def detail(adapter_id: str) -> ResponseReturnValue:
    """One report."""
    reading = doors().runs.report(adapter_id)
    if reading.fault:
        return show("gate/index.html", ReportsPage(reports={}, faults=(f"{adapter_id}/{reading.fault}",)))
    if not reading.value:
        raise NoSuchEntry(adapter_id)
    report = reading.value
    replies = sorted(((reply, change(reply)) for reply in report.replies), key=lambda pair: -pair[1])
    context = ReportPage(
        adapter_id=adapter_id,
        report=report,
        measures=[(m, whiskers(m)) for m in report.metrics],
        replies=replies,
        has_page=doors().runs.report_page(adapter_id) is not None,
    )
    return show("gate/detail.html", context)


@blueprint.get("/<adapter_id>/report.html")
def report_page(adapter_id: str) -> ResponseReturnValue:
    """The self-contained report, shut in: it may style itself and nothing else."""
    path = doors().runs.report_page(adapter_id)
    if not path:
        raise NoSuchEntry(adapter_id)
    response = send_file(path, mimetype="text/html", max_age=0)
    response.headers["Content-Security-Policy"] = REPORT_POLICY
    return response


def change(reply: Replies) -> float:
    """How much the candidate's words differ from the reference's (or, without one, the base model's), in [0, 1]."""
    before = reply.reference if reply.reference is not None else reply.floor
    return 1.0 - SequenceMatcher(None, (before or "").split(), (reply.candidate or "").split(), False).ratio()
