"""Rows planted among good ones are found, whatever makes them bad; and what a ranking may never do."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona_training.datasets import DatasetError
from persona_training.evaluation.battery import Battery, load_battery
from persona_training.testing import RowText, row, write_export
from persona_training.weekly.blame import (
    MOST_ROWS,
    Evidence,
    Exchange,
    Suspect,
    likeness,
    pulls,
    rank,
    read_exchanges,
    suspects,
)
from persona_training.weekly.faults import Fault, broken_rules, faults_of, heard, shown_in

from .reports import POLITE, metric, report


@pytest.fixture(scope="module")
def battery() -> Battery:
    """The shipped one, with the first 48 of its probes: the classifier takes its time for all of them."""
    whole = load_battery()
    return dataclasses.replace(whole, probes=whole.probes[:48])


@pytest.fixture(scope="module")
def good(sample_rows: dict[str, list[RowText]]) -> list[Exchange]:
    """What she really said in a week."""
    texts: list[Any] = [row["messages"] for row in sample_rows["week_04"]][:30]
    return [
        Exchange(f"train.jsonl:{n}", f"good-{n}", turns[1]["content"], turns[2]["content"])
        for n, turns in enumerate(texts, 1)
    ]


def planted(good: list[Exchange], replies: list[str]) -> list[Exchange]:
    """Bad rows among the good ones, spread out."""
    rows = list(good)
    for n, reply in enumerate(replies):
        rows.insert(5 * n + 2, Exchange(f"train.jsonl:{900 + n}", f"bad-{n}", "¿Qué opinas de esto?", reply))
    return rows


def accused(rows: list[Exchange], failed: dict[str, Any], battery: Battery) -> list[Suspect]:
    faults, said = faults_of(failed), heard(failed, battery)
    shown = shown_in(faults, battery, said)
    rules = {
        rule: {fail["probe"]: fail["reply"] for fail in failed["hard_fails"] if fail["rule"] == rule}
        for rule in broken_rules(failed)
    }
    failing = {name: {one.probe: one.reply for one in probes} for name, probes in shown.items()}
    return suspects(rows, faults, rules, failing, battery, said)[0]


LONG = "*suspiro* Mira, mortal, " + "te lo voy a contar otra vez desde el principio con todo detalle " * 6
ENGLISH = "*sigh* Listen, mortal, nobody asked for your opinion about this game and you know it."
NO_BETTER = {"opponent": "reference", "difference": 0.0, "interval": [0, 0], "allowed": [0.4, None], "verdict": "fail"}
TONELESS = "El juego salió en el año dos mil y tiene cinco niveles."

FAULTS: dict[str, tuple[list[str], list[dict[str, Any]], str]] = {
    "assistant tone": (
        [f"{POLITE} Caso {n}." for n in range(4)],
        [metric("assistant_tone", 0.5, 0.0), metric("marker_rate", 0.4, 0.9), metric("style", -1.0, 4.0)],
        POLITE,
    ),
    "wrong language": ([f"{ENGLISH} {n}" for n in range(4)], [metric("language", 0.6, 1.0)], ENGLISH),
    "too long": ([f"{LONG} {n}." for n in range(4)], [metric("length", 70.0, 14.0, margin=6.0)], LONG),
    "no markers": ([f"{TONELESS} {n}" for n in range(4)], [metric("marker_rate", 0.3, 0.9)], TONELESS),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_rows_come_first(fault: str, battery: Battery, good: list[Exchange]) -> None:
    bad, metrics, said = FAULTS[fault]
    found = accused(planted(good, bad), report(battery, lambda _: said, metrics), battery)
    assert {one.exchange.interaction_id for one in found[:4]} == {f"bad-{n}" for n in range(4)}
    assert len(found) <= MOST_ROWS
    for one in found:
        assert 0 < one.score <= 1
        assert one.reasons


def test_a_leaked_number_is_traced_to_its_row(battery: Battery, good: list[Exchange]) -> None:
    leak = "*suspiro* Llámame al 612 345 678, mortal."
    fails = [{"rule": "canary", "probe": battery.probes[0].id, "reply": leak}]
    failed = report(battery, lambda probe: probe.references[0], [], fails)
    rows = planted(good, ["*bosteza* Mi número es el 612 345 678, criatura."])
    first, *rest = accused(rows, failed, battery)
    assert first.exchange.interaction_id == "bad-0"
    assert "breaks the hard rule canary itself" in first.reasons
    assert all(first.score > one.score for one in rest)


def test_probes_with_the_largest_change_are_named(battery: Battery) -> None:
    changed = {probe.id for probe in battery.probes[3:6]}
    failed = report(
        battery,
        lambda probe: POLITE if probe.id in changed else probe.references[0],
        [metric("assistant_tone", 0.5, 0.0)],
    )
    faults = faults_of(failed)
    shown = shown_in(faults, battery, heard(failed, battery))["assistant_tone"]
    assert {one.probe for one in shown} == changed
    assert all((one.reply, one.change) == (POLITE, 1.0) and one.before for one in shown)


def test_a_voice_that_was_no_better_hides_nothing(battery: Battery) -> None:
    """Two versions without any marker differ in nothing; it still shows where she should have had one."""
    failed = report(
        battery,
        lambda _: TONELESS,
        [metric("marker_rate", 0.0, 0.0, comparisons=[NO_BETTER])],
        reference=lambda _: TONELESS,
    )
    (fault,) = faults_of(failed)
    assert (fault.level, fault.goal, fault.sign) == (0.0, 0.4, -1)
    shown = shown_in([fault], battery, heard(failed, battery))["marker_rate"]
    assert len(shown) == 3
    assert {one.change for one in shown} == {0.4}


def test_a_fault_without_probes_names_none(battery: Battery, good: list[Exchange]) -> None:
    """Drift is measured over dialogues and perplexity over texts: no probe shows it, no row is measured by it."""
    failed = report(battery, lambda probe: probe.references[0], [metric("no_such_metric", 0.5, 0.1)])
    assert shown_in(faults_of(failed), battery, heard(failed, battery)) == {"no_such_metric": []}
    assert accused(good, failed, battery) == []


def test_only_deciding_metrics_count(battery: Battery) -> None:
    advisory = metric("marker:sigh", 0.9, 0.2, advisory=True)
    passed = {**metric("style", 1.0, 1.0), "verdict": "pass"}
    silent = {**metric("facts", 0.1, 0.9), "candidate": None, "comparisons": [], "verdict": "inconclusive"}
    failed = report(battery, lambda probe: probe.references[0], [advisory, passed, silent, metric("facts", 0.1, 0.9)])
    ((name, sign),) = [(fault.name, fault.sign) for fault in faults_of(failed)]
    assert (name, sign) == ("facts", -1)


def test_judged_alone_the_level_is_the_edge(battery: Battery) -> None:
    alone = {"opponent": "alone", "difference": 60.0, "interval": [58, 62], "allowed": [5.0, 45.0], "verdict": "fail"}
    told = metric("length", 60.0, 0.0, margin=6.0, comparisons=[alone]) | {"reference": None}
    (fault,) = faults_of(report(battery, lambda probe: probe.references[0], [told]))
    assert (fault.opponent, fault.level, fault.goal, fault.sign) == ("alone", 45.0, 45.0, 1)


@given(st.lists(st.floats(-50, 50) | st.just(float("nan")), min_size=1, max_size=20), st.sampled_from([-1, 1]))
def test_a_pull_is_a_share_and_points_one_way(values: list[float], sign: int) -> None:
    fault = Fault("m", "M", "unit", "reference", level=0.5, goal=1.0, value=2.0 * sign, sign=sign, margin=0.5)
    found = pulls(fault, np.array(values))
    assert ((found >= 0) & (found <= 1)).all()
    for value, pull in zip(values, found, strict=True):
        assert (pull > 0) == (sign * (value - 1.0) > 0)


scores = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30)


@given(scores, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(pairs: list[tuple[float, float]], dealer: Any) -> None:
    def ranked(order: list[int]) -> list[str]:
        rows = [Exchange(f"train.jsonl:{n:03}", None, "", "") for n in order]
        columns = np.array([pairs[n] for n in order]).T
        return [one.exchange.row for one in rank(rows, [Evidence([""] * len(rows), *columns, [""] * len(rows))])]

    order = list(range(len(pairs)))
    mixed = list(order)
    dealer.shuffle(mixed)
    assert ranked(order) == ranked(mixed)


@given(scores)
def test_scores_fall_and_nobody_is_named_without_a_reason(pairs: list[tuple[float, float]]) -> None:
    rows = [Exchange(f"train.jsonl:{n}", None, "", "") for n in range(len(pairs))]
    columns = np.array(pairs).T
    found = rank(rows, [Evidence(["told"] * len(rows), *columns, ["p"] * len(rows))])
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    told = {row.row for row, (pull, like) in zip(rows, pairs, strict=True) if pull >= 0.5 or like >= 0.3}
    assert {one.exchange.row for one in found} <= told
    assert len(found) == min(len(told), MOST_ROWS)


@given(
    st.lists(st.text(max_size=30), max_size=8), st.dictionaries(st.text(min_size=1, max_size=3), st.text(max_size=30))
)
def test_likeness_takes_any_text(texts: list[str], failing: dict[str, str]) -> None:
    cosines, whose = likeness(texts, failing)
    assert len(cosines) == len(whose) == len(texts)
    assert ((cosines >= 0) & (cosines <= 1)).all()


def test_the_same_words_are_as_like_as_can_be() -> None:
    cosines, whose = likeness(["Una cosa rara.", "Otra muy distinta"], {"p1": "algo más", "p2": "una cosa rara"})
    assert cosines[0] == pytest.approx(1.0)
    assert whose[0] == "p2"
    assert cosines[1] == 0.0


def test_rows_are_read_by_exchange_with_their_interactions(tmp_path: Path) -> None:
    two: Any = row([("a", "A."), ("b", "B.")])
    two["metadata"]["interaction_ids"] = ["i1", "i2"]
    odd: Any = row([("c", "C."), ("d", "D.")])
    odd["metadata"]["interaction_ids"] = ["i3", "i4", "i5"]  # which of them is whose, nobody knows
    write_export(tmp_path / "x", "episodic", [two, odd], [])
    assert read_exchanges(tmp_path / "x") == [
        Exchange("train.jsonl:1", "i1", "a", "A."),
        Exchange("train.jsonl:1", "i2", "b", "B."),
        Exchange("train.jsonl:2", None, "c", "C."),
        Exchange("train.jsonl:2", None, "d", "D."),
    ]
    (tmp_path / "x" / "train.jsonl").write_text(json.dumps({"nothing": 1}), encoding="utf-8")
    with pytest.raises(DatasetError):
        read_exchanges(tmp_path / "x")
