"""Versions: which adapters there are, where they come from and where they serve."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from persona_dashboard.contexts import AdapterPage, AdaptersPage, Version
from persona_dashboard.doors import doors, memory, show
from persona_dashboard.folder import NoSuchEntry
from persona_dashboard.lineage_links import adapter_chain
from persona_dashboard.memory_client import asked, first_problem
from persona_dashboard.run_store import Run
from persona_dashboard.service_shapes import AdapterRecord, Deployment

blueprint = Blueprint("adapters", __name__, url_prefix="/adapters")


@blueprint.get("")
def index() -> ResponseReturnValue:
    """Adapters on disk and in the service's memory, joined."""
    records = asked(memory().adapters)
    deployments = asked(memory().deployments)
    runs = {run.adapter_id: run for run in doors().runs.runs()}
    remembered = {record.adapter_id: record for record in records.value or []}
    versions = [
        _version(adapter_id, runs.get(adapter_id), remembered.get(adapter_id), deployments.value)
        for adapter_id in {**runs, **remembered}
    ]
    faults = tuple(f"{run.adapter_id}/{fault}" for run in runs.values() for fault in run.faults)
    context = AdaptersPage(problem=first_problem(records, deployments), versions=versions, faults=faults)
    return show("adapters/index.html", context)


@blueprint.get("/<adapter_id>")
def detail(adapter_id: str) -> ResponseReturnValue:
    """One version and its chain."""
    store = doors().runs
    run = store.run(adapter_id) if store.exists(adapter_id) else None
    records = asked(memory().adapters)
    record = next((known for known in records.value or [] if known.adapter_id == adapter_id), None)
    if not run and not record and not records.problem:
        raise NoSuchEntry(adapter_id)
    lineage = asked(lambda: memory().adapter_lineage(adapter_id)) if record else None
    deployments = asked(memory().deployments)
    version = _version(adapter_id, run, record, deployments.value)
    context = AdapterPage(
        problem=first_problem(*([records, lineage] if lineage else [records]), deployments),
        faults=tuple(f"{adapter_id}/{fault}" for fault in run.faults) if run else (),
        version=version,
        lineage=adapter_chain(version, lineage.value if lineage else None),
        stack=store.stack(adapter_id),
    )
    return show("adapters/detail.html", context)


def _version(
    adapter_id: str, run: Run | None, record: AdapterRecord | None, deployments: list[Deployment] | None
) -> Version:
    report = doors().runs.report(adapter_id).value
    mine = None if deployments is None else [made for made in deployments if made.adapter_id == adapter_id]
    return Version(
        adapter_id=adapter_id,
        manifest=run.manifest if run else None,
        status=run.status if run else (record.status if record and record.status else "unknown"),
        verdict=report.verdict if report else record.verdict if record else None,
        deployments=mine,
        on_disk=run is not None,
        tainted=bool(record and record.tainted_at),
    )
