"""The gate's report of a version, as far as deploying it and watching it need it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from persona_training.errors import PersonaTrainingError

# The second is what the gate wrote before it kept every reply in results.jsonl.
REPORTS = ("summary.json", "report.json")


def _each(**types: str) -> dict[str, Any]:
    """A list of objects that have these keys."""
    keys = {key: {"type": kind} for key, kind in types.items()}
    return {"type": "array", "items": {"type": "object", "required": list(keys), "properties": keys}}


_MODEL = {"properties": {"weights_sha256": {"type": ["string", "null"]}}}
# Of lora_adapters/schema/report-v1.schema.json what is read here; a report of an older release need not have the rest.
_READ = Draft202012Validator(
    {
        "required": ["report_id", "candidate", "verdict"],
        "properties": {
            "report_id": {"type": "string"},
            "candidate": {"type": "object", **_MODEL},
            "reference": {"type": ["object", "null"], **_MODEL},
            "golden": {"type": ["object", "null"], **_MODEL},
            "verdict": {"enum": ["pass", "fail", "inconclusive"]},
            "reasons": {"type": "array", "items": {"type": "string"}},
            "serving": {"type": "object", "properties": {"sampling": {"type": "object"}}},
            "hard_rules": _each(rule="string", broken="boolean"),
            "metrics": _each(title="string", verdict="string", explain="string"),
        },
    }
)


class DamagedReportError(PersonaTrainingError):
    """A report of the gate is no longer as the gate wrote it. Exit code 1."""


def read_report(folder: Path) -> dict[str, Any] | None:
    """The report in the folder of an adapter or of a join; None where there is none, or another kind of file.

    Raises:
        DamagedReportError: the file cannot be read, is no JSON, or lacks what deploying needs; the message names the key.
    """
    path = next((folder / name for name in REPORTS if (folder / name).is_file()), None)
    if path is None:
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DamagedReportError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"not valid JSON ({error})") from error
    if not isinstance(value, dict) or value.get("schema") != "casiopy/report-v1":
        return None
    if (fault := fault_of(value)) is not None:
        raise _damaged(path, fault)
    return value


def fault_of(report: dict[str, Any]) -> str | None:
    """Where a report is not as the gate writes it, as far as it is read here; None for a sound one."""
    fault = best_match(_READ.iter_errors(report))
    if fault is None:
        return None
    where = ".".join(str(key) for key in fault.absolute_path) or "the report"
    return f"{where}: {fault.message[:200]}"


def _damaged(path: Path, why: str) -> DamagedReportError:
    return DamagedReportError(f"{path} is damaged ({why}). Run the gate again with --save-report, or delete that file.")
