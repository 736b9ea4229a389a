"""The report fits its schema, and its page and JUnit file say the same."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest
from junitparser import JUnitXml
from persona_training.errors import StorageError
from persona_training.evaluation.battery import Battery
from persona_training.evaluation.judgement import Voices, judge
from persona_training.evaluation.metrics import Hearing
from persona_training.evaluation.page import WIDTH, draw_interval
from persona_training.evaluation.replies import SERVED
from persona_training.evaluation.report import Named, Report, Setting, build_report, write_report

HOSTILE = "<script>alert('x')</script> & \"mortal\" 🎮"


def make_report(battery: Battery, *, compared: bool, damaged: bool) -> Report:
    candidate = [[probe.references[1], HOSTILE if damaged else probe.references[0]] for probe in battery.probes]
    if damaged:
        candidate[0][0] = "Hola<|im_end|>"
    reference = [[probe.references[0]] * 2 for probe in battery.probes] if compared else None
    floor = [[battery.neutral_replies[i % 20]] * 2 for i in range(len(battery.probes))]
    voices = Voices(candidate=candidate, reference=reference, floor=floor)
    judgement = judge(Hearing(battery, battery.probes), voices, seed=7)
    return build_report(
        Setting(battery, battery.probes, 2, 7, "transformers", SERVED, "a test"),
        voices,
        judgement,
        candidate=Named("episodic", "episodic-2026-w05-20260201T190000", "a" * 64),
        reference=Named("personality", "personality-20260101T190000", "b" * 64) if compared else None,
        floor="tiny",
        now=datetime(2026, 2, 1, 19, 5, tzinfo=UTC),
    )


@pytest.mark.parametrize("compared", [True, False])
@pytest.mark.parametrize("damaged", [True, False])
def test_it_fits_the_schema(battery: Battery, schemas: dict[str, object], compared: bool, damaged: bool) -> None:
    report = make_report(battery, compared=compared, damaged=damaged)
    schema = schemas["report-v1"]
    assert isinstance(schema, dict)
    as_stored = json.loads(json.dumps(report, allow_nan=False))
    jsonschema.Draft202012Validator(schema).validate(as_stored)
    assert report["verdict"] == ("fail" if damaged else "pass")
    assert bool(report["hard_fails"]) is damaged
    assert (report["reference"] is not None) is compared


def test_the_largest_change_of_voice_comes_first(battery: Battery) -> None:
    report = make_report(battery, compared=True, damaged=True)
    changes = [row["change"] for row in report["replies"]]
    assert changes == sorted(changes, reverse=True)
    assert len(changes) == 140
    first = report["replies"][0]
    assert first["candidate"] in (HOSTILE, "Hola<|im_end|>")


class _Page(HTMLParser):
    """Collects what a browser would fetch, and the visible text."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[tuple[str, str]] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [(tag, name) for name, _ in attrs if name in {"src", "href", "action", "data", "srcset"}]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_self_contained_and_escapes_replies(battery: Battery, tmp_path: Path) -> None:
    report = make_report(battery, compared=True, damaged=True)
    content = write_report(tmp_path, report)["report.html"].read_text(encoding="utf-8")
    page = _Page()
    page.feed(content)
    assert page.fetched == []
    assert "script" not in page.tags
    assert not re.search(r"@import|url\(|https?://", content)
    assert "prefers-color-scheme: dark" in content
    assert HOSTILE in page.text
    for metric in report["metrics"]:
        assert metric["title"] in page.text
    assert page.tags.count("article") == 140
    assert page.tags.count("svg") == sum(metric["interval"] is not None for metric in report["metrics"])


def test_a_passing_page_says_so(battery: Battery, tmp_path: Path) -> None:
    report = make_report(battery, compared=False, damaged=False)
    content = write_report(tmp_path, report)["report.html"].read_text(encoding="utf-8")
    assert "Every metric passes and no hard rule is broken." in content
    assert "it must rise above the base model" in content


def test_junit_has_a_case_per_deciding_metric_and_rule(battery: Battery, tmp_path: Path) -> None:
    report = make_report(battery, compared=True, damaged=True)
    paths = write_report(tmp_path, report)
    suite = next(iter(JUnitXml.fromfile(str(paths["junit.xml"]))))
    deciding = [metric for metric in report["metrics"] if not metric["advisory"]]
    assert suite.tests == len(deciding) + 6
    broken = {fail["rule"] for fail in report["hard_fails"]}
    failed = sum(metric["verdict"] == "fail" for metric in deciding)
    assert suite.failures == failed + sum(
        any(reason.startswith(f"hard rule {rule}:") for reason in report["reasons"]) for rule in broken
    )
    assert suite.failures > 1


def test_results_are_one_line_per_probe_and_sample(battery: Battery, tmp_path: Path) -> None:
    report = make_report(battery, compared=True, damaged=False)
    paths = write_report(tmp_path, report)
    rows = [json.loads(line) for line in paths["results.jsonl"].read_text(encoding="utf-8").splitlines()]
    assert rows == report["replies"]
    assert json.loads(paths["report.json"].read_text(encoding="utf-8")) == report


def test_a_folder_that_cannot_be_written_says_so(battery: Battery, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way", encoding="utf-8")
    with pytest.raises(StorageError, match="--output-dir"):
        write_report(blocked / "inside", make_report(battery, compared=False, damaged=False))


@pytest.mark.parametrize("allowed", [[-0.1, None], [None, 0.1], [-0.1, 0.1], [None, None]])
def test_drawings_stay_in_the_picture(allowed: list[float | None]) -> None:
    drawn = draw_interval({"interval": [-0.4, 0.05], "difference": -0.2, "allowed": allowed})
    assert drawn is not None
    assert 0 <= drawn["low"] < drawn["point"] < drawn["high"] <= WIDTH
    assert 0 <= drawn["zone"] <= drawn["zone"] + drawn["zone_width"] <= WIDTH + 0.1
    assert draw_interval({"interval": None, "difference": None, "allowed": allowed}) is None


def test_no_difference_at_all_can_be_drawn() -> None:
    drawn = draw_interval({"interval": [0.0, 0.0], "difference": 0.0, "allowed": [None, None]})
    assert drawn is not None
    assert drawn["low"] == drawn["high"] == drawn["zero"]
