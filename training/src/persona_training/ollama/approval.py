"""May this adapter go live? Only with a passing report about exactly these weights, or with a reason put on record."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_training.adapters import Manifest
from persona_training.errors import PersonaTrainingError
from persona_training.evaluation.replies import SERVED
from persona_training.generation import Sampling


class NotApprovedError(PersonaTrainingError):
    """The adapter has no passing report of its own. Exit code 1."""


@dataclass(frozen=True)
class Approval:
    """Why it may go live; `sampling` is how it was judged and therefore how it is served."""

    report_id: str | None
    forced: str | None
    sampling: Sampling
    note: str


def approve(folder: Path, manifest: Manifest, *, force: bool, reason: str | None) -> Approval:
    """Read the adapter's report.json and decide.

    Raises:
        NotApprovedError: no report, about other weights, or not passing, and not forced with a reason.
    """
    report = _read(folder / "report.json")
    objection = _objection(report, manifest)
    sampling = SERVED if report is None else _sampling(report)
    report_id = None if report is None else str(report.get("report_id"))
    if objection is None:
        return Approval(report_id, None, sampling, f"passed the personality gate ({report_id})")
    if not force:
        raise NotApprovedError(
            f"{manifest['adapter_id']} does not go live: {objection}. Run `python training/test_personality.py --model "
            f"{manifest['adapter_id']} --save-report`, or overrule the gate with --force --reason TEXT."
        )
    if not reason or not reason.strip():
        raise NotApprovedError("--force needs --reason TEXT: it is kept with the deployment.")
    return Approval(report_id, reason.strip(), sampling, f"FORCED although {objection}; reason: {reason.strip()}")


def _objection(report: dict[str, Any] | None, manifest: Manifest) -> str | None:
    if report is None:
        return "there is no gate report"
    if report.get("candidate", {}).get("weights_sha256") != manifest["weights"]["sha256"]:
        return "its gate report is about other weights"
    if report.get("verdict") != "pass":
        reasons = report.get("reasons") or []
        return f"the gate's verdict is {report.get('verdict')}" + (f" ({reasons[0]})" if reasons else "")
    return None


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise NotApprovedError(f"{path} is not valid JSON ({error}). Run the gate again.") from error
    return value if isinstance(value, dict) and value.get("schema") == "casiopy/report-v1" else None


def _sampling(report: dict[str, Any]) -> Sampling:
    values = report.get("serving", {}).get("sampling", {})
    try:
        return Sampling(**values)
    except TypeError as error:
        raise NotApprovedError(
            f"The gate report's sampling values are not known here ({error}). Run the gate again."
        ) from error
