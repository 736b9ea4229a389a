"""Datasets: what was taken for training, what was left out, and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from pydantic import ValidationError

from persona_dashboard.charts import score_bins, score_chart
from persona_dashboard.contexts import ExportPage, ExportRow, ExportsPage, FunnelStage
from persona_dashboard.dataset_shapes import DatasetManifest, DatasetRow, Stage
from persona_dashboard.doors import doors, memory, numerals, show
from persona_dashboard.export_store import parse_rows
from persona_dashboard.folder import NoSuchEntry, Reading
from persona_dashboard.memory_client import Answer, ServiceRefused, asked, first_problem
from persona_dashboard.service_shapes import ExportRecord

blueprint = Blueprint("exports", __name__, url_prefix="/exports")

SAMPLES = 5
LONG_AGO = datetime.min.replace(tzinfo=UTC)


@blueprint.get("")
def index() -> ResponseReturnValue:
    """Datasets on disk and in the service's memory, joined."""
    on_disk = doors().exports.manifests()
    records = asked(memory().exports)
    remembered = {record.export_id: record for record in records.value or []}
    rows = [
        ExportRow(
            export_id=export_id,
            manifest=on_disk[export_id].value if export_id in on_disk else None,
            on_disk=export_id in on_disk,
            known=None if records.value is None else export_id in remembered,
            tainted=export_id in remembered and remembered[export_id].tainted_at is not None,
        )
        for export_id in {**on_disk, **remembered}
    ]
    rows.sort(key=lambda row: _made_at(row, remembered), reverse=True)
    faults = tuple(f"{export_id}/{reading.fault}" for export_id, reading in on_disk.items() if reading.fault)
    return show("exports/index.html", ExportsPage(problem=records.problem, exports=rows, faults=faults))


@blueprint.get("/<export_id>")
def detail(export_id: str) -> ResponseReturnValue:
    """One dataset."""
    split = "val" if request.args.get("split") == "val" else "train"
    reading = doors().exports.manifest(export_id)
    on_disk = reading.value is not None or reading.fault is not None
    answer: Answer[dict[str, Any]] = Answer(None, None)
    if not on_disk:
        answer = asked(lambda: memory().export_manifest(export_id))
        if isinstance(answer.problem, ServiceRefused):
            raise NoSuchEntry(export_id)
        reading = _shaped(answer.value)
    samples = asked(lambda: _samples(export_id, split, on_disk))
    manifest = reading.value
    scores = [row.quality_score for row in manifest.rows if row.quality_score is not None] if manifest else []
    context = ExportPage(
        problem=first_problem(answer, samples),
        faults=(f"{export_id}/{reading.fault}",) if reading.fault else (),
        export_id=export_id,
        manifest=manifest,
        on_disk=on_disk,
        funnel=funnel_stages(manifest.funnel) if manifest else [],
        scores=score_chart(score_bins(scores), numerals()),
        samples=samples.value,
        split=split,
        learners=_learners(export_id),
    )
    return show("exports/detail.html", context)


def funnel_stages(stages: Sequence[Stage]) -> list[FunnelStage]:
    """Stages with their bars, in percent of what went in."""
    beginning = max((stage.kept + stage.dropped for stage in stages), default=0) or 1
    return [
        FunnelStage(
            stage=stage.stage,
            kept=stage.kept,
            dropped=stage.dropped,
            why=stage.why,
            kept_share=round(100 * stage.kept / beginning, 2),
            dropped_share=round(100 * stage.dropped / beginning, 2),
        )
        for stage in stages
    ]


def _samples(export_id: str, split: str, on_disk: bool) -> list[DatasetRow] | None:
    if on_disk:
        return doors().exports.sample(export_id, split, SAMPLES)
    return parse_rows(memory().export_rows(export_id, split, SAMPLES), SAMPLES)


def _shaped(manifest: dict[str, Any] | None) -> Reading[DatasetManifest]:
    if manifest is None:
        return Reading()
    try:
        return Reading(DatasetManifest.model_validate(manifest))
    except ValidationError as failure:
        return Reading(fault=f"manifest.json: {failure.errors()[0]['msg']}")


def _learners(export_id: str) -> list[str]:
    return [
        run.adapter_id
        for run in doors().runs.runs()
        if run.manifest
        and export_id in {pin.export_id for pin in (run.manifest.dataset, *run.manifest.replay) if pin is not None}
    ]


def _made_at(row: ExportRow, remembered: dict[str, ExportRecord]) -> datetime:
    record = remembered.get(row.export_id)
    made = row.manifest.created_at if row.manifest else record.created_at if record else None
    if made is None:
        return LONG_AGO
    return made if made.tzinfo else made.replace(tzinfo=UTC)
