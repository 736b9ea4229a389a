"""Drawings stay inside their frame, whatever the figures are."""

from __future__ import annotations

import math
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona_dashboard.adapter_shapes import Metric
from persona_dashboard.charts import (
    BAR_HEIGHT,
    CURVE_WIDTH,
    LINE_HEIGHT,
    LONGEST_CURVE,
    MOST_DAYS,
    day_chart,
    loss_chart,
    round_steps,
    score_bins,
    score_chart,
    thinned,
    whisker,
    whiskers,
)
from persona_dashboard.language import Numerals
from persona_dashboard.report_shapes import Measure
from persona_dashboard.service_shapes import DayCount

ENGLISH = Numerals("en")
figures = st.floats(-1e6, 1e6, allow_subnormal=False)
any_float = st.one_of(st.none(), st.floats(), figures)


@given(st.lists(st.tuples(any_float, any_float), max_size=60))
def test_loss_curves_fit(values: list[tuple[float | None, float | None]]) -> None:
    points = [Metric(step=step, loss=loss, eval_loss=held) for step, (loss, held) in enumerate(values, 1)]
    measured = [v for pair in values for v in pair if v is not None and math.isfinite(v)]
    chart = loss_chart(points, ENGLISH)
    assert (chart is None) == (not measured) or max(map(abs, measured)) > 1e300
    for curve in chart.curves if chart and max(map(abs, measured)) <= 1e300 else []:
        for place in curve.points.split():
            x, y = map(float, place.split(","))
            assert 0 <= x <= CURVE_WIDTH
            assert 0 <= y <= LINE_HEIGHT


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=90))
def test_bars_fit(counts: list[int]) -> None:
    days = [DayCount(day=date(2026, 1, 1) + timedelta(days=n), count=count) for n, count in enumerate(counts)]
    chart = day_chart(days, ENGLISH)
    assert (chart is None) == (not any(counts))
    if chart:
        assert len(chart.bars) == min(len(counts), MOST_DAYS)
        assert all(bar.x >= 0 and bar.x + bar.width <= 100.01 for bar in chart.bars)
        assert all(bar.y >= 0 and math.isclose(bar.y + bar.height, BAR_HEIGHT, abs_tol=0.2) for bar in chart.bars)


def test_days_without_interactions_have_their_place() -> None:
    chart = day_chart([DayCount(day=date(2026, 1, 1), count=3), DayCount(day=date(2026, 1, 5), count=1)], ENGLISH)
    assert chart
    assert [bar.height > 0 for bar in chart.bars] == [True, False, False, False, True]
    assert [tick.label for tick in chart.ticks] == ["1 Jan", "3 Jan", "5 Jan"]


@given(st.lists(st.floats(0, 1), max_size=200))
def test_every_score_is_counted_once(scores: list[float]) -> None:
    bins = score_bins(scores)
    assert sum(bin_.count for bin_ in bins) == len(scores)
    assert (score_chart(bins, ENGLISH) is None) == (not scores)


def test_the_last_bin_holds_one() -> None:
    assert [bin_.count for bin_ in score_bins([0.0, 0.05, 0.1, 0.95, 1.0])] == [2, 1, 0, 0, 0, 0, 0, 0, 0, 2]


@given(st.floats(-1e3, 1e3), st.floats(1e-6, 1e6))
def test_round_steps_are_round_and_inside(spans_from_zero: float, span: float) -> None:
    low = spans_from_zero * span
    steps = round_steps(low, low + span)
    gaps = [b - a for a, b in pairwise(steps)]
    assert len(steps) <= 6
    assert all(low - span * 1e-6 - 1e-9 <= step <= low + span * (1 + 1e-6) + 1e-9 for step in steps)
    for gap in gaps:
        power = 10.0 ** math.floor(math.log10(gap) + 1e-9)
        assert min(abs(gap / power - factor) for factor in (1, 2, 5, 10)) < 1e-3


@given(st.lists(st.floats(0, 10), min_size=1, max_size=3000))
def test_thinning_keeps_the_end_and_the_range(values: list[float]) -> None:
    line = list(enumerate(values))
    thin = thinned(line)
    assert len(thin) <= LONGEST_CURVE
    assert thin[-1] == (float(len(values) - 1), values[-1])
    assert [step for step, _ in thin] == sorted({step for step, _ in thin})
    assert min(values) - 1e-9 <= min(v for _, v in thin)
    assert max(v for _, v in thin) <= max(values) + 1e-9


@given(figures, st.tuples(figures, figures), st.one_of(st.none(), figures))
def test_whiskers_fit_and_keep_their_order(middle: float, ends: tuple[float, float], margin: float | None) -> None:
    low, high = sorted(ends)
    mark = whisker(Measure(name="m", verdict="pass", difference=middle, interval=(low, high), margin=margin))
    assert mark
    assert all(0 <= place <= 100 for place in (mark.low, mark.high, mark.middle, mark.zero, *mark.margins))
    assert mark.low <= mark.high


@pytest.mark.parametrize(
    ("direction", "margin", "allowed", "sides"),
    [
        ("higher", 0.1, None, [-1]),
        ("lower", 0.1, None, [1]),
        ("band", 0.1, None, [-1, 1]),
        ("band", (5.0, 45.0), None, []),
        ("lower", None, None, []),
        ("higher", 0.1, (0.3, None), [1]),
        ("band", 0.1, (-0.5, 0.2), [-1, 1]),
        ("band", 0.1, (None, None), []),
    ],
)
def test_limits_are_the_reports_own_or_the_margin_on_the_worse_side(
    direction: str,
    margin: float | tuple[float, float] | None,
    allowed: tuple[float | None, float | None] | None,
    sides: list[int],
) -> None:
    measure = Measure(
        name="m",
        verdict="pass",
        direction=direction,
        difference=0.0,
        interval=(-0.02, 0.02),
        margin=margin,
        allowed=allowed,
    )
    mark = whisker(measure)
    assert mark
    assert [1 if place > mark.zero else -1 for place in mark.margins] == sides


@pytest.mark.parametrize("interval", [None, (None, 1.0), (0.0, None), (float("nan"), 1.0)])
def test_no_whisker_without_an_interval(interval: tuple[float | None, float | None] | None) -> None:
    measure = Measure(name="m", verdict="pass", difference=0.5, interval=interval, margin=0.1)
    assert whisker(measure) is None


def test_every_comparison_is_drawn_with_its_own_limits() -> None:
    comparisons = [
        {"opponent": "reference", "difference": -0.1, "interval": [-0.2, 0.0], "allowed": [-0.15, None]},
        {"opponent": "golden", "difference": -0.3, "interval": [-0.4, -0.2], "allowed": [-0.3, 0.3]},
        {"opponent": "alone", "difference": 0.5, "interval": None, "allowed": [0.0, 1.0]},
    ]
    measure = Measure.model_validate({"name": "m", "verdict": "fail", "difference": 9.0, "comparisons": comparisons})
    drawn = whiskers(measure)
    assert [one.opponent for one, _ in drawn] == ["reference", "golden", "alone"]
    assert [len(mark.margins) if mark else None for _, mark in drawn] == [1, 2, None]


def test_a_report_from_before_comparisons_is_drawn_as_one() -> None:
    measure = Measure(name="m", verdict="pass", difference=0.5, interval=(0.4, 0.6), margin=0.1)
    ((one, mark),) = whiskers(measure)
    assert (one.opponent, one.difference, mark) == ("", 0.5, whisker(measure))
    assert whiskers(Measure(name="m", verdict="pass")) == []
