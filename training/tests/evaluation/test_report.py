"""The report fits its schema, and its page and JUnit file say the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from junitparser import JUnitXml
from persona_training.errors import StorageError
from persona_training.evaluation.battery import Battery, Corpora, Dialogue
from persona_training.evaluation.drawings import DRIFT_HEIGHT, WIDTH, draw_drift, draw_interval, draw_levels
from persona_training.evaluation.exam import Exam
from persona_training.evaluation.hard_rules import RULES
from persona_training.evaluation.judgement import judge
from persona_training.evaluation.junit import write_junit
from persona_training.evaluation.page import amount, by_facet, figure, plain, share, write_page
from persona_training.evaluation.replies import SERVED
from persona_training.evaluation.report import (
    COMPARED,
    MOST_BROKEN,
    MOST_REPLIES,
    Named,
    Report,
    Setting,
    build_report,
    write_report,
)
from persona_training.evaluation.results import VoiceName
from persona_training.evaluation.transcript import Transcript

HOSTILE = "<script>alert('x')</script> & \"mortal\" 🎮"
TALKS = tuple(
    Dialogue(id=f"talk-{at}", mood="hostile", turns=("¿Qué tal?", "<b>¿Y tu nave?</b>", "Vale.", "Adiós."))
    for at in range(6)
)


@pytest.fixture(scope="module")
def battery(battery: Battery) -> Battery:
    """Some of the shipped one: nothing here depends on how many probes there are."""
    return replace(battery, probes=battery.choose(108, seed=7))


def make_report(battery: Battery, *, compared: bool, damaged: bool) -> Report:
    exam = Exam(battery, battery.probes, dialogues=TALKS)
    said = voices(battery, compared=compared, damaged=damaged)
    named: dict[VoiceName, Named] = {"candidate": Named("episodic", "episodic-2026-w05-20260201T190000", "a" * 64)}
    if compared:
        named["reference"] = Named("personality", "personality-20260101T190000", "b" * 64)
        named["golden"] = Named("pinned", "personality-20260101T190000", "b" * 64)
    return build_report(
        Setting(battery, battery.probes, 2, 7, "transformers", SERVED, "a test", TALKS),
        said,
        judge(exam, said, seed=7),
        named=named,
        floor="tiny",
        now=datetime(2026, 2, 1, 19, 5, tzinfo=UTC),
    )


def voices(battery: Battery, *, compared: bool, damaged: bool) -> dict[str, Transcript]:
    candidate = [[probe.references[1], HOSTILE if damaged else probe.references[0]] for probe in battery.probes]
    if damaged:
        candidate[0][0] = "Hola<|im_end|>"
    deployed = [[probe.references[0], probe.references[1]] for probe in battery.probes]
    neutral = [[battery.neutral_replies[i % 20]] * 2 for i in range(len(battery.probes))]
    talk = [[["*suspiro* Aquí sigo, mortal.", "*bosteza* Orbita, criatura.", "Obvio, mortal.", "*suspiro* Adiós."]]] * 6
    plain_talk = [[["Hola.", "Bien.", "De acuerdo.", "Hasta luego."]]] * 6
    said = {
        "candidate": Transcript("episodic", candidate, turns=talk),
        "floor": Transcript("tiny", neutral, turns=plain_talk),
    }
    if compared:
        said |= {name: Transcript(name, deployed, turns=talk) for name in ("reference", "golden")}
    return said


@pytest.fixture(scope="module")
def damaged(battery: Battery) -> Report:
    return make_report(battery, compared=True, damaged=True)


@pytest.fixture(scope="module")
def first_layer(battery: Battery) -> Report:
    return make_report(battery, compared=False, damaged=False)


@pytest.mark.parametrize("name", ["damaged", "first_layer"])
def test_it_fits_the_schema(request: pytest.FixtureRequest, schemas: dict[str, object], name: str) -> None:
    report: Report = request.getfixturevalue(name)
    schema = schemas["report-v1"]
    assert isinstance(schema, dict)
    as_stored = json.loads(json.dumps(report, allow_nan=False))
    jsonschema.Draft202012Validator(schema).validate(as_stored)
    known = schema["properties"]
    assert set(report) == set(known)
    for part in ("metrics", "hard_rules", "not_measured", "dialogues"):
        assert all(set(row) == set(known[part]["items"]["properties"]) for row in report[part])
    assert any(rule["broken"] for rule in report["hard_rules"]) is (name == "damaged")
    assert (report["reference"] is not None) is (name == "damaged")


def test_every_opponent_is_reported(damaged: Report, first_layer: Report) -> None:
    by_name = {metric["name"]: metric for metric in damaged["metrics"]}
    assert [one["opponent"] for one in by_name["marker_rate"]["comparisons"]] == ["reference", "golden"]
    assert by_name["repeated"]["verdict"] == "fail"
    assert by_name["marker_rate"]["difference"] == by_name["marker_rate"]["comparisons"][0]["difference"]
    assert by_name["style"]["ceiling"] > by_name["style"]["floor"]
    assert by_name["style"]["noise"] is not None
    alone = {metric["name"]: metric for metric in first_layer["metrics"]}["marker_count"]
    assert [one["opponent"] for one in alone["comparisons"]] == ["alone"]
    assert (alone["difference"], alone["interval"]) == (None, None)


def test_what_is_not_measured_says_why(damaged: Report) -> None:
    missing = {one["name"]: one["reason"] for one in damaged["not_measured"]}
    assert "memorised" in missing
    assert missing.keys().isdisjoint(metric["name"] for metric in damaged["metrics"])


def test_the_largest_change_of_voice_comes_first(damaged: Report) -> None:
    changes = [row["change"] for row in damaged["replies"]]
    assert changes == sorted(changes, reverse=True)
    assert len(changes) == min(2 * damaged["battery"]["probes"], MOST_REPLIES)
    assert damaged["replies"][0]["candidate"] in (HOSTILE, "Hola<|im_end|>")
    facets = by_facet(damaged["replies"])
    assert sum(map(len, facets.values())) == len(changes)
    assert [rows[0]["change"] for rows in facets.values()] == sorted(
        (r[0]["change"] for r in facets.values()), reverse=True
    )


def test_voices_heard_a_different_number_of_times_stand_side_by_side_as_far_as_both_go(battery: Battery) -> None:
    probes = battery.choose(18, seed=7)
    said = {
        "candidate": Transcript("candidate", [[probe.references[0], probe.references[1]] for probe in probes]),
        "reference": Transcript("reference", [[probe.references[0]] for probe in probes]),
    }
    report = build_report(
        Setting(battery, probes, 2, 7, "ollama", SERVED, "a test"),
        said,
        judge(Exam(battery, probes), said, seed=7),
        named={"candidate": Named("candidate"), "reference": Named("reference")},
        floor="tiny",
    )
    assert len(report["replies"]) == 18
    assert report["dialogues"] == []


def test_it_stays_small_enough_to_register(damaged: Report) -> None:
    assert len(json.dumps(damaged, ensure_ascii=False).encode()) < 400_000
    for rule in damaged["hard_rules"]:
        assert sum(fail["rule"] == rule["rule"] for fail in damaged["hard_fails"]) == min(rule["count"], MOST_BROKEN)


class _Page(HTMLParser):
    """Collects what a browser would fetch, where links lead, and the visible text."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: set[str] = set()
        self.anchors: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in {"src", "action", "data", "srcset"}:
                self.fetched.append(str(value))
            if name == "href":
                self.links.add(str(value))
            if name == "id":
                self.anchors.append(str(value))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def page(damaged: Report, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(tmp_path_factory.mktemp("page"), damaged)["report.html"].read_text(encoding="utf-8")


def test_the_page_is_self_contained_and_escapes_replies(page: str) -> None:
    read = _Page(page)
    assert read.fetched == []
    assert {link[0] for link in read.links} == {"#"}
    assert {link[1:] for link in read.links} <= set(read.anchors)
    assert len(set(read.anchors)) == len(read.anchors)
    assert "script" not in read.tags
    assert not re.search(r"@import|url\(|https?://", page)
    assert "prefers-color-scheme: light" in page
    assert HOSTILE in read.text
    assert "<b>¿Y tu nave?</b>" in read.text


def test_the_page_tells_what_the_report_does(page: str, damaged: Report) -> None:
    read = _Page(page)
    for metric in [*damaged["metrics"], *damaged["not_measured"]]:
        assert metric["title"] in read.text
    assert read.tags.count("article") == len(damaged["replies"])
    assert {f"facet-{row['facet']}" for row in damaged["replies"]} <= set(read.anchors)
    assert read.text.index("She is not herself any more.") < read.text.index("Replies, largest change")
    drawings = sum(len(metric["comparisons"]) for metric in damaged["metrics"])
    drawings += sum(draw_levels(metric) is not None for metric in damaged["metrics"]) + len(damaged["dialogues"])
    drawings += sum(
        len(metric["comparisons"])
        for metric in damaged["metrics"]
        if metric["verdict"] != "pass" and not metric["advisory"]
    )
    assert read.tags.count("svg") == drawings
    assert read.tags.count("polyline") >= len(damaged["dialogues"])


def test_a_passing_page_says_so(first_layer: Report, tmp_path: Path) -> None:
    passing = {
        **first_layer,
        "verdict": "pass",
        "metrics": [{**one, "verdict": "pass"} for one in first_layer["metrics"]],
    }
    write_page(tmp_path / "report.html", passing)
    content = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Every metric passes and no hard rule is broken." in content
    assert "it must rise above the base model" in content


def test_a_page_about_too_few_probes_says_what_keeps_her_from_passing(first_layer: Report, tmp_path: Path) -> None:
    metrics = [{**metric, "verdict": "pass"} for metric in first_layer["metrics"]]
    few = {**first_layer, "verdict": "inconclusive", "metrics": metrics, "hard_rules": [], "hard_fails": []}
    few["battery"] = {**first_layer["battery"], "probes": 8}
    write_page(tmp_path / "report.html", few)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "8 probes are too few to let anybody pass: ask at least 12." in text
    assert "Every metric passes" not in text


def test_junit_has_a_case_per_deciding_metric_and_rule(damaged: Report, tmp_path: Path) -> None:
    paths = write_report(tmp_path, damaged)
    suite = next(iter(JUnitXml.fromfile(str(paths["junit.xml"]))))
    deciding = [metric for metric in damaged["metrics"] if not metric["advisory"]]
    assert suite.tests == 1 + len(deciding) + len(damaged["not_measured"]) + len(RULES)
    failed = sum(metric["verdict"] == "fail" for metric in deciding)
    assert suite.failures == 1 + failed + sum(rule["broken"] for rule in damaged["hard_rules"])
    assert suite.failures > 1
    open_ones = sum(metric["verdict"] == "inconclusive" for metric in deciding)
    assert suite.skipped == open_ones + len(damaged["not_measured"])
    assert "golden" in paths["junit.xml"].read_text(encoding="utf-8")


def test_junit_is_green_for_a_pass_alone(first_layer: Report, tmp_path: Path) -> None:
    """Too few probes are a reason of the verdict that no metric and no rule has."""
    said = {}
    for verdict in ("pass", "inconclusive", "fail"):
        passing = [{**one, "verdict": "pass"} for one in first_layer["metrics"]]
        report = {**first_layer, "verdict": verdict, "metrics": passing, "reasons": ["4 probes are too few."]}
        write_junit(tmp_path / "junit.xml", report)
        suite = next(iter(JUnitXml.fromfile(str(tmp_path / "junit.xml"))))
        said[verdict] = (suite.failures, suite.errors)
        case = next(case for case in suite if case.name == "The verdict")
        assert [(one.message, one.type) for one in case.result] == (
            [] if verdict == "pass" else [("4 probes are too few.", verdict)]
        )
    assert said == {"pass": (0, 0), "inconclusive": (0, 1), "fail": (1, 0)}


def test_an_infinite_loss_is_shown(battery: Battery, tmp_path: Path) -> None:
    texts = Corpora(general=("Uno dos tres.", "Cuatro cinco seis.") * 6)
    asked = replace(battery, corpora=texts, probes=battery.choose(18, seed=7))
    said = {
        name: replace(heard, replies=heard.replies[:18], turns=(), general_loss=[loss] * 12)
        for (name, heard), loss in zip(
            voices(asked, compared=True, damaged=False).items(), (np.inf, 3.0, 3.0, 3.0), strict=True
        )
    }
    with np.errstate(invalid="ignore"):
        judged = judge(Exam(asked, asked.probes), said, seed=7)
    setting = Setting(asked, asked.probes, 2, 7, "transformers", SERVED, "a test")
    report = build_report(setting, said, judged, named={name: Named(name) for name in COMPARED}, floor="tiny")
    loss = next(metric for metric in report["metrics"] if metric["name"] == "general_loss")
    assert (loss["candidate"], loss["difference"], loss["verdict"]) == (None, None, "fail")
    paths = write_report(tmp_path, report)
    told = _Page(paths["report.html"].read_text(encoding="utf-8")).text
    assert "No finite figure" in told
    assert "The reference has 3.00: one of the two is infinite" in told


def test_control_characters_are_not_written_into_the_page(first_layer: Report, tmp_path: Path) -> None:
    row = {**first_layer["replies"][0], "candidate": "a\0b\x1b[31mc\x9b\ud83d\td"}
    write_page(tmp_path / "report.html", {**first_layer, "replies": [row]})
    content = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "a\ufffdb\ufffd[31mc\ufffd\ufffd\td" in content
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", content)


def test_the_summary_is_the_report(damaged: Report, tmp_path: Path) -> None:
    paths = write_report(tmp_path, damaged)
    assert json.loads(paths["summary.json"].read_text(encoding="utf-8")) == damaged


@pytest.mark.parametrize("write", [write_page, write_junit])
def test_a_full_disk_leaves_no_half_of_a_verdict(
    damaged: Report, tmp_path: Path, write: Callable[[Path, Report], None]
) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    write(tmp_path / "out", damaged)
    whole = (tmp_path / "out").read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    try:
        with pytest.raises((OSError, StorageError), match=r"(?i)too large"):
            write(tmp_path / "out", damaged)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [whole]


def test_a_folder_that_cannot_be_written_says_so(first_layer: Report, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way", encoding="utf-8")
    with pytest.raises(StorageError, match="--output-dir"):
        write_report(blocked / "inside", first_layer)


def compared(difference: float | None, interval: list[float | None], allowed: list[float | None], **more: Any) -> Any:
    return {"opponent": "reference", "difference": difference, "interval": interval, "allowed": allowed, **more}


edges = st.floats(-3, 3) | st.none()


@given(st.floats(-3, 3), st.floats(0, 2), edges, edges)
def test_drawings_stay_in_the_picture(middle: float, half: float, low: float | None, high: float | None) -> None:
    drawn = draw_interval(compared(middle, [middle - half, middle + half], [low, high]))
    assert drawn is not None
    assert drawn.zero is not None
    assert 0 <= drawn.low <= drawn.point <= drawn.high <= WIDTH
    assert 0 <= drawn.zero <= WIDTH
    assert 0 <= drawn.zone <= drawn.zone + drawn.zone_width <= WIDTH + 0.1 or drawn.zone_width == 0


def test_what_has_no_interval_is_not_drawn() -> None:
    assert draw_interval(compared(None, [None, None], [-0.1, None])) is None
    assert draw_levels({"candidate": 0.4, "reference": None}) is None
    drawn = draw_levels({"candidate": 0.4, "reference": 0.4, "floor": 0.1, "ceiling": 0.9})
    assert drawn is not None
    assert drawn["floor"] < drawn["candidate"] == drawn["reference"] < drawn["ceiling"]
    assert draw_drift({"candidate": [None, None]}) == []


def test_a_turn_that_cannot_be_judged_is_a_gap_in_the_line() -> None:
    (line,) = draw_drift({"candidate": [2.0, 1.0, None, 1.0, 0.0, None, 3.0]})
    assert len(line.runs) == 2
    assert len(line.points) == 5
    assert line.points[-1][1] < line.points[0][1]  # higher is further up
    assert all(0 <= x <= WIDTH and 0 <= y <= DRIFT_HEIGHT for x, y in line.points)


@pytest.mark.parametrize(
    ("comparison", "words"),
    [
        (
            compared(-0.4, [-0.5, -0.3], [-0.15, None]),
            "The reference has 70 %: that is 40 points less, and up to 15 points less",
        ),
        (compared(0.1, [0.0, 0.2], [None, 0.06]), "up to 6 points more is still fine"),
        (compared(0.1, [0.0, 0.2], [-0.6, 0.6]), "up to 60 points less or 60 points more is still fine"),
        (compared(0.1, [0.0, 0.2], [0.25, None]), "it must be at least 25 points more"),
        (compared(0.1, [0.0, 0.2], [None, -0.25]), "it must be at least 25 points less"),
        (compared(0.1, [0.0, 0.2], [None, None]), "anything is fine"),
        (
            compared(0.3, [0.2, 0.4], [0.6, 0.9], opponent="alone"),
            "By itself at least 60 % and at most 90 % is acceptable.",
        ),
        (compared(0.3, [0.2, 0.4], [None, None], opponent="alone"), "By itself anything is acceptable."),
    ],
)
def test_figures_in_plain_words(comparison: dict[str, Any], words: str) -> None:
    told = plain(comparison, {"candidate": 0.3, "reference": 0.7, "unit": "share of replies"}).replace("\xa0", " ")
    assert words in told


def test_other_units_keep_their_numbers() -> None:
    told = plain(compared(-4.0, [-5.0, -3.0], [-6.0, 6.0]), {"candidate": 12.0, "reference": 16.0, "unit": "words"})
    assert told == "The reference has 16.00: that is 4.00 less, and up to 6.00 less or 6.00 more is still fine."
    assert (amount(16.0, "words"), amount(0.24, "share of replies")) == ("16.00 words", "24\xa0% of replies")
    assert (amount(0.3, "share"), amount(None, "words")) == ("30\xa0%", "– words")


def test_numbers_are_as_precise_as_they_are_telling() -> None:
    assert (figure(None), figure(0.04), figure(-1.5), figure(2.0, True)) == ("–", "0.040", "−1.50", "+2.00")
    assert (share(0.05), share(0.0375)) == ("5\xa0%", "3.8\xa0%")
