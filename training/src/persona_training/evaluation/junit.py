"""The report as JUnit XML for continuous integration: one case for the verdict and one per metric and per hard rule."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite


def write_junit(path: Path, report: dict[str, Any]) -> None:
    """Write junit.xml, whole or not at all.

    The verdict is a case of its own: a failure, or an error where it is inconclusive. A failed metric is a failure; an
    inconclusive or unmeasured one is skipped, with the reason.
    """
    suite = TestSuite(f"personality gate: {report['candidate']['name']}")
    suite.timestamp = report["created_at"].removesuffix("Z")
    suite.add_testcase(_verdict(report))
    for metric in (row for row in report["metrics"] if not row["advisory"]):
        case = TestCase(metric["title"], f"gate.{metric['name']}")
        if metric["verdict"] == "fail":
            case.result = [Failure(_figures(metric), "metric")]
        elif metric["verdict"] == "inconclusive":
            case.result = [Skipped(f"inconclusive: {_figures(metric)}")]
        suite.add_testcase(case)
    for missing in report["not_measured"]:
        case = TestCase(missing["title"], f"gate.{missing['name']}")
        case.result = [Skipped(f"not measured: {missing['reason']}")]
        suite.add_testcase(case)
    for rule in report["hard_rules"]:
        suite.add_testcase(_rule(rule, report))
    xml = JUnitXml("casiopy gate")
    xml.add_testsuite(suite)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        xml.write(str(unfinished), pretty=True)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _verdict(report: dict[str, Any]) -> TestCase:
    """An inconclusive gate must not look green: whoever waits for it may only go on after a pass."""
    case = TestCase("The verdict", "gate.verdict")
    told = "; ".join(report["reasons"]) or "no reason given"
    if report["verdict"] == "fail":
        case.result = [Failure(told, "fail")]
    elif report["verdict"] == "inconclusive":
        case.result = [Error(told, "inconclusive")]
    return case


def _rule(rule: dict[str, Any], report: dict[str, Any]) -> TestCase:
    case = TestCase(rule["why"], f"gate.hard.{rule['rule']}")
    if rule["broken"]:
        examples = [fail["reply"] for fail in report["hard_fails"] if fail["rule"] == rule["rule"]][:3]
        told = (
            f"{rule['count']} of {rule['replies']} replies, tolerated share {rule['tolerance']:g}. Examples: {examples}"
        )
        case.result = [Failure(told, "hard rule")]
    return case


def _figures(metric: dict[str, Any]) -> str:
    levels = ", ".join(
        f"{voice} {metric[voice]}"
        for voice in ("candidate", "reference", "golden", "floor")
        if metric[voice] is not None
    )
    against = "; ".join(
        f"{one['opponent']}: {one['difference']} {one['interval']}, allowed {one['allowed']}, {one['verdict']}"
        for one in metric["comparisons"]
    )
    return f"{levels} {metric['unit']}; {against}. {metric['why']}".strip()
