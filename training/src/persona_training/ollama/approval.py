"""May these layers go live? Only with a passing report about exactly these weights, or with a reason put on record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from persona_training.errors import PersonaTrainingError
from persona_training.evaluation.replies import SERVED
from persona_training.generation import Sampling
from persona_training.ollama.gate_report import read_report
from persona_training.ollama.layers import Layers


class NotApprovedError(PersonaTrainingError):
    """The layers have no passing report of their own. Exit code 1."""


@dataclass(frozen=True)
class Approval:
    """Why they may go live; `sampling` is how they were judged and therefore how they are served."""

    report_id: str | None
    forced: str | None
    sampling: Sampling
    note: str


def approve(layers: Layers, *, force: bool, reason: str | None) -> Approval:
    """Read the gate's report about these layers and decide.

    Raises:
        NotApprovedError: no report, about other weights, or not passing, and not forced with a reason.
        DamagedReportError: the report is not as the gate wrote it.
        AdapterError: the join of the layers, whose report it would be, is damaged.
    """
    folder, weights_sha256 = layers.judged()
    report = read_report(folder)
    objection = _objection(report, weights_sha256)
    sampling = SERVED if report is None else _sampling(report)
    report_id = None if report is None else str(report["report_id"])
    if objection is None:
        return Approval(report_id, None, sampling, f"passed the personality gate ({report_id})")
    if not force:
        raise NotApprovedError(
            f"{layers.name} does not go live: {objection}. Run {layers.how_to_judge()}, or overrule the gate with "
            "--force --reason TEXT."
        )
    if not reason or not reason.strip():
        raise NotApprovedError("--force needs --reason TEXT: it is kept with the deployment.")
    return Approval(report_id, reason.strip(), sampling, f"FORCED although {objection}; reason: {reason.strip()}")


def _objection(report: dict[str, Any] | None, weights_sha256: str | None) -> str | None:
    if weights_sha256 is None:
        return "these layers were never joined, so the gate has not judged them together"
    if report is None:
        return "there is no gate report"
    if report["candidate"].get("weights_sha256") != weights_sha256:
        return "its gate report is about other weights"
    if report["verdict"] != "pass":
        reasons = report.get("reasons") or []
        return f"the gate's verdict is {report['verdict']}" + (f" ({reasons[0]})" if reasons else "")
    if _only_with_itself(report, weights_sha256):
        return "its gate report compares these weights with themselves, so it tells nothing about them"
    return None


def _only_with_itself(report: dict[str, Any], weights_sha256: str) -> bool:
    """Was the reference the candidate itself, and no golden version there that is known to be another one?"""
    reference, golden = (report.get(name) or {} for name in ("reference", "golden"))
    itself = reference.get("weights_sha256") == weights_sha256
    return itself and golden.get("weights_sha256") in (None, weights_sha256)


def _sampling(report: dict[str, Any]) -> Sampling:
    values = report.get("serving", {}).get("sampling", {})
    try:
        return Sampling(**values)
    except (TypeError, PersonaTrainingError) as error:
        raise NotApprovedError(
            f"The gate report's sampling values are not known here ({error}). Run the gate again."
        ) from error
