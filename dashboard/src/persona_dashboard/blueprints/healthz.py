"""Is the dashboard itself alive? For supervisors; it does not ask the memory service."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from persona_dashboard.doors import doors

blueprint = Blueprint("healthz", __name__)


@blueprint.get("/healthz")
def show_health() -> tuple[Response, int]:
    """200 when pages can be made from both folders, else 503 naming the folder."""
    opened = doors()
    faults = [fault for fault in (opened.exports.fault(), opened.runs.fault()) if fault]
    body = {
        "status": "failed" if faults else "ok",
        "faults": faults,
        "streams": {"open": opened.streams.open, "most": opened.streams.most},
    }
    return jsonify(body), 503 if faults else 200
