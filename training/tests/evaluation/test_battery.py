"""The shipped battery keeps its promises, and a broken one is named."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import yaml
from persona_training.evaluation.battery import Battery, BatteryError, load_battery
from persona_training.evaluation.exam import Exam
from persona_training.evaluation.facts import says_expected
from persona_training.evaluation.hard_rules import find_hard_fails
from persona_training.evaluation.markers import has_marker, says_any
from persona_training.evaluation.shape import length_in_words
from persona_training.evaluation.transcript import Transcript
from persona_training.evaluation.words import plain

FACETS = {"style", "core_memory", "weekly", "hostile", "friendly", "identity", "capability", "language"}
SAMPLE = Path(__file__).parents[3] / "casiopy" / "demo" / "sample_month.jsonl"


def test_every_facet_has_at_least_five_probes(battery: Battery) -> None:
    counts = Counter(probe.facet for probe in battery.probes)
    assert set(counts) == FACETS
    assert min(counts.values()) >= 5
    assert len(battery.probes) >= 60


def test_every_reference_is_hers(battery: Battery) -> None:
    for probe in battery.probes:
        for reference in probe.references:
            assert has_marker(reference, battery.markers), reference
            assert not says_any(reference, battery.assistant_tone), reference
            assert not says_any(reference, battery.refusal), reference
            assert 4 <= length_in_words(reference) <= 45, reference
            assert says_expected(reference, probe.expect) != 0.0, f"{probe.id}: {reference}"


def test_no_reference_breaks_a_hard_rule(battery: Battery) -> None:
    assert find_hard_fails(
        Exam(battery, battery.probes), Transcript("hand-written", [probe.references for probe in battery.probes])
    ) == []


def test_references_are_all_different(battery: Battery) -> None:
    texts = [plain(reference) for probe in battery.probes for reference in probe.references]
    assert len(set(texts)) == len(texts)


def test_marker_rates_of_the_references_lie_in_their_bands(battery: Battery) -> None:
    references = [reference for probe in battery.probes for reference in probe.references]
    for marker in battery.markers:
        rate = sum(bool(marker.pattern.search(reference)) for reference in references) / len(references)
        low, high = marker.band
        assert low <= rate <= high, (marker.name, rate)


def test_nothing_is_copied_from_the_sample_month(battery: Battery) -> None:
    rows = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    said = {plain(row["input_text"]) for row in rows} | {plain(row["output_text"]) for row in rows}
    ours = {plain(probe.prompt) for probe in battery.probes}
    ours |= {plain(reference) for probe in battery.probes for reference in probe.references}
    assert len(rows) > 100
    assert ours.isdisjoint(said)


def test_her_replies_in_the_sample_month_are_recognised(battery: Battery) -> None:
    """The markers and phrases were written for the battery; the sample month was written by others."""
    rows = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    good = [row["output_text"] for row in rows if "excellent" in row["labels"]]
    bad = [row["output_text"] for row in rows if {"refusal", "off_character"} & set(row["labels"])]
    assert sum(has_marker(text, battery.markers) for text in good) / len(good) >= 0.95
    assert sum(says_any(text, [*battery.assistant_tone, *battery.refusal]) for text in good) == 0
    assert sum(has_marker(text, battery.markers) for text in bad) / len(bad) <= 0.05
    assert sum(says_any(text, [*battery.assistant_tone, *battery.refusal]) for text in bad) / len(bad) >= 0.7


@pytest.mark.parametrize("count", [1, 8, 20, 69])
def test_a_smaller_choice_is_spread_over_the_facets(battery: Battery, count: int) -> None:
    chosen = battery.choose(count, seed=7)
    assert len(chosen) == count
    assert chosen == battery.choose(count, seed=7)
    counts = Counter(probe.facet for probe in chosen)
    assert len(counts) == min(count, len(FACETS))


def test_another_seed_chooses_other_probes(battery: Battery) -> None:
    assert battery.choose(20, seed=1) != battery.choose(20, seed=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probes": []}, "there is none"),
        ({"markers": [{"name": "m", "title": "m", "pattern": "(", "band": [0, 1]}]}, r"pattern '\('"),
        ({"markers": [{"name": "m", "title": "m", "pattern": "x", "band": [0.9, 0.1]}]}, "band"),
        ({"forbidden": {"assistant": []}}, "refusal"),
        ({"probes": [{"id": "a", "facet": "f", "prompt": "p", "references": []}]}, "at least one reference"),
        ({"probes": [{"id": "a", "facet": "f", "prompt": "p", "references": ["r"], "reply_language": "fr"}]}, "es, en"),
        ({"probes": [{"id": "a", "facet": "f", "prompt": "p", "references": ["r"]}] * 2}, "used twice"),
        ({"version": "one"}, "malformed"),
    ],
)
def test_a_broken_battery_is_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    good = {
        "name": "b",
        "version": 1,
        "persona": "p",
        "language": "es",
        "markers": [],
        "forbidden": {"assistant": [], "refusal": []},
        "neutral_replies": ["n"],
        "probes": [{"id": "a", "facet": "f", "prompt": "p", "references": ["r"]}],
    }
    path = tmp_path / "battery.yaml"
    path.write_text(yaml.safe_dump(good), encoding="utf-8")
    assert load_battery(path).name == "b"
    path.write_text(yaml.safe_dump(good | change), encoding="utf-8")
    with pytest.raises(BatteryError, match=message):
        load_battery(path)


@pytest.mark.parametrize(("source", "message"), [("nobody", "No shipped battery"), ("gone.yaml", "No battery file")])
def test_a_missing_battery_says_so(source: str, message: str) -> None:
    with pytest.raises(BatteryError, match=message):
        load_battery(source)


def test_not_yaml(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text("a: [", encoding="utf-8")
    with pytest.raises(BatteryError, match="not valid YAML"):
        load_battery(path)
    path.write_text("just words", encoding="utf-8")
    with pytest.raises(BatteryError, match="must be a mapping"):
        load_battery(path)
