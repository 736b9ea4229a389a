"""The report as JUnit XML, one case per metric and per hard rule, for the continuous integration of a persona."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

from persona_training.evaluation.hard_rules import RULES


def write_junit(path: Path, report: dict[str, Any]) -> None:
    """Write junit.xml. A failed metric is a failure, an inconclusive one is skipped with its figures as the message."""
    suite = TestSuite(f"personality gate: {report['candidate']['name']}")
    suite.timestamp = report["created_at"].removesuffix("Z")
    for metric in (row for row in report["metrics"] if not row["advisory"]):
        case = TestCase(metric["title"], f"gate.{metric['name']}")
        if metric["verdict"] == "fail":
            case.result = [Failure(_figures(metric), "metric")]
        elif metric["verdict"] == "inconclusive":
            case.result = [Skipped(f"inconclusive: {_figures(metric)}")]
        suite.add_testcase(case)
    for rule in RULES:
        case = TestCase(rule.why, f"gate.hard.{rule.name}")
        broken = [reason for reason in report["reasons"] if reason.startswith(f"hard rule {rule.name}:")]
        if broken:
            examples = [fail["reply"] for fail in report["hard_fails"] if fail["rule"] == rule.name][:3]
            case.result = [Failure(f"{broken[0]} Examples: {examples}", "hard rule")]
        suite.add_testcase(case)
    xml = JUnitXml("casiopy gate")
    xml.add_testsuite(suite)
    xml.write(str(path), pretty=True)


def _figures(metric: dict[str, Any]) -> str:
    return (
        f"candidate {metric['candidate']}, reference {metric['reference']}, floor {metric['floor']} {metric['unit']}; "
        f"difference {metric['difference']} {metric['interval']}, allowed {metric['allowed']}"
    )
