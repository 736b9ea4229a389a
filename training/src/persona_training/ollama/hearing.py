"""How the watch hears a live tag: the gate's smoke examination, 20 probes four times, through the path production uses.

What the gate's report said when the tag was deployed is the baseline. A rule that was broken then, and overruled with a reason,
is no news and only a warning; a figure that was bad then is not repeated at every look.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from persona_training.display import Display
from persona_training.ollama.gate_report import DamagedReportError, read_report
from persona_training.ollama.ledger import deployed_as
from persona_training.ollama.server import OllamaServer
from persona_training.ollama.watching import Ear, Heard
from persona_training.settings import Settings

Report = Mapping[str, Any]


def smoke_battery(server: OllamaServer, settings: Settings, display: Display) -> Ear:
    """An ear that runs the gate's smoke examination; every look asks anew, and none is registered as the gate's word.

    Of the same questions with the same seeds, which a server may answer alike: a look finds what has changed since the last.
    """
    from persona_training.evaluation.gate import run_gate
    from persona_training.evaluation.request import NONE, Request
    from persona_training.ollama.tags import OllamaTags

    def hear(tag: str) -> Heard:
        tags = OllamaTags(settings.adapters_dir, server.url)
        request = Request(model=tag, smoke=True, baseline=NONE, golden=NONE, redraw=True, early_stop=False)
        report = run_gate(request, settings, tags, display)
        then, forced = report_at_deployment(settings.adapters_dir, tags.digest_of(tag))
        display.fact(
            "baseline", f"the gate report {then['report_id']}" if then else "none: no gate report of it is here"
        )
        return heard_in(report, then, forced=forced)

    return hear


def report_at_deployment(adapters_dir: Path, digest: str | None) -> tuple[Report | None, bool]:
    """The gate's report that a served model was deployed with, if it still lies here, and whether it was overruled."""
    entry = (deployed_as(adapters_dir, digest) if digest else None) or {}
    folders = [adapters_dir / str(entry.get("adapter_id")), *sorted(adapters_dir.glob("joined/*/"))]
    for folder in folders:
        try:
            report = read_report(folder)
        except DamagedReportError:
            continue  # then there is no baseline, and that is said
        if report is not None and report["report_id"] == entry.get("report_id"):
            return report, bool(entry.get("forced"))
    return None, bool(entry.get("forced"))


def heard_in(report: Report, then: Report | None = None, *, forced: bool = False) -> Heard:
    """What of a gate report makes the watch act, and what a person should see.

    Args:
        report: of this look.
        then: of the deployment, the baseline.
        forced: was it deployed although the gate did not pass it?
    """
    overruled = {rule["rule"] for rule in (then or {}).get("hard_rules", []) if rule["broken"]} if forced else set()
    known = _failed(then or {})
    hard, soft = [], []
    for rule in report["hard_rules"]:
        if rule["broken"]:
            said = f"{rule['rule']}: {rule['count']} of {rule['replies']} replies ({rule['why']})"
            if rule["rule"] in overruled:
                soft.append(f"{said}; so it was when the gate was overruled")
            else:
                hard.append(said)
    soft += [f"{title}: fail. {explain}" for title, explain in _failed(report).items() if title not in known]
    return Heard(tuple(hard), tuple(soft))


def _failed(report: Report) -> dict[str, str]:
    failed = (one for one in report.get("metrics", []) if one["verdict"] == "fail" and not one.get("advisory"))
    return {str(one["title"]): str(one["explain"]) for one in failed}
