"""What remains of a gate: lines on the console, files in a folder, a row in the memory service."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from persona_training.display import Display
from persona_training.evaluation.judgement import Judgement, sentence, too_few
from persona_training.evaluation.report import Report, write_report
from persona_training.evaluation.results import Line, write_lines
from persona_training.evaluation.service import MemoryService

RESULTS = "results.jsonl"


def show(judgement: Judgement, asked: int, display: Display) -> None:
    """Every finding, every broken rule, what was not measured, whether enough probes were `asked`, the verdict."""
    for finding in judgement.findings:
        label = finding.verdict if finding.decides else "advisory"
        display.fact(label, f"{finding.metric.title}: {sentence(finding)}")
    for rule in judgement.rules:
        if rule.broken:
            display.fact("fail", rule.sentence())
    for one in judgement.not_measured:
        display.fact("not measured", f"{one.metric.title}: {one.reason}")
    for reason in too_few(asked):
        display.fact("inconclusive", reason)
    early = f" after {judgement.look} of {judgement.looks} rounds" if judgement.look < judgement.looks else ""
    display.fact("VERDICT", judgement.verdict.upper() + early)


def save(
    folder: Path,
    report: Report,
    lines: Iterable[Line] | None,
    adapter_id: str | None,
    service: MemoryService,
    display: Display,
) -> None:
    """Write summary.json, results.jsonl, junit.xml and report.html, and register the report.

    Args:
        folder: where to.
        report: the report.
        lines: of results.jsonl; None leaves the one that is there.
        adapter_id: whose report it is; None is not registered.
        service: the memory service, which may be away.
        display: what happened is shown there.

    Raises:
        StorageError: the folder cannot be written.
    """
    if lines is not None:
        # First, so that a summary never stands beside the results of another gate.
        write_lines(folder / RESULTS, lines)
    paths = write_report(folder, report)
    others = [name for name in paths if name != "report.html"] + [RESULTS]
    display.fact("report", f"{paths['report.html']} and {', '.join(others)}")
    if adapter_id is None:
        display.fact("note", "Not registered: no single adapter here is known to be what was heard.")
    else:
        display.fact("service", service.register_report(adapter_id, report))
