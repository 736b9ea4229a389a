"""The geometry of every drawing, computed here once; templates only print it, and scripts only exchange it.

Across, positions are percentages, so a chart fits any width without scaling its text; downwards they are pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from persona_dashboard.adapter_shapes import Metric
from persona_dashboard.language import Numerals
from persona_dashboard.report_shapes import Comparison, Measure
from persona_dashboard.service_shapes import DayCount, ScoreBin

LINE_HEIGHT = 240
BAR_HEIGHT = 120
# Twice the pixels a curve gets on a wide screen would be invisible; averaging to this many points is not.
LONGEST_CURVE = 400
CURVE_WIDTH = 1000
# Two months of bars still have 4 pixels each on a phone.
MOST_DAYS = 60
HEADROOM = 14


@dataclass(frozen=True)
class Bar:
    """One bar: left edge and width in percent, top and height in pixels."""

    x: float
    width: float
    y: float
    height: float
    title: str


@dataclass(frozen=True)
class Tick:
    """A label on an axis; `at` is percent on the horizontal axis and pixels on the vertical one."""

    at: float
    label: str
    anchor: str = "middle"


@dataclass(frozen=True)
class BarChart:
    """Bars over a line, with a few labels below."""

    bars: list[Bar]
    ticks: list[Tick]
    height: int
    peak: str


@dataclass(frozen=True)
class Curve:
    """One line: `points` for an SVG polyline `CURVE_WIDTH` wide; dots for sparse ones, in percent and pixels."""

    name: str
    points: str
    dots: list[tuple[float, float]]
    last: str


@dataclass(frozen=True)
class LineChart:
    """Curves over a grid."""

    curves: list[Curve]
    y_ticks: list[Tick]
    x_ticks: list[Tick]
    height: int
    width: int = CURVE_WIDTH


@dataclass(frozen=True)
class Whisker:
    """An interval of differences against zero and the margin, all in percent of the drawing's width."""

    low: float
    high: float
    middle: float
    zero: float
    margins: tuple[float, ...]


Held = list[tuple[Comparison, Whisker | None]]
"""Every comparison of a figure with its drawing."""


def day_chart(days: Sequence[DayCount], numerals: Numerals) -> BarChart | None:
    """Interactions per day; None when there are none."""
    if not any(day.count for day in days):
        return None
    days = _every_day(days)
    titles = [f"{numerals.day(day.day)}: {numerals.number(day.count)}" for day in days]
    ticks = _day_ticks(days, numerals)
    return _bars([day.count for day in days], titles, ticks, numerals)


def score_chart(bins: Sequence[ScoreBin], numerals: Numerals) -> BarChart | None:
    """Quality scores in bins; None when there are none."""
    if not any(bin_.count for bin_ in bins):
        return None
    titles = [
        f"{numerals.number(bin_.lower, 1)}–{numerals.number(bin_.upper, 1)}: {numerals.number(bin_.count)}"
        for bin_ in bins
    ]
    edges = (0.0, 0.5, 1.0)
    ticks = [Tick(edge * 100, numerals.number(edge, 1), _anchor(edge * 100)) for edge in edges]
    return _bars([bin_.count for bin_ in bins], titles, ticks, numerals)


def score_bins(scores: Sequence[float], bins: int = 10) -> list[ScoreBin]:
    """Count scores in [0, 1] into equal bins; 1.0 belongs to the last."""
    counts = [0] * bins
    for score in scores:
        counts[min(int(max(score, 0.0) * bins), bins - 1)] += 1
    return [ScoreBin(lower=at / bins, upper=(at + 1) / bins, count=count) for at, count in enumerate(counts)]


def loss_chart(points: Sequence[Metric], numerals: Numerals) -> LineChart | None:
    """Training and validation loss by step; None before the first point."""
    train = _measured((point.step, point.loss) for point in points)
    held_out = _measured((point.step, point.eval_loss) for point in points)
    total = max((point.total_steps or 0 for point in points), default=0)
    return _lines({"train": train, "eval": held_out}, total, numerals, LINE_HEIGHT)


def rate_chart(points: Sequence[Metric], numerals: Numerals) -> LineChart | None:
    """Learning rate by step; None before the first point."""
    rate = _measured((point.step, point.learning_rate) for point in points)
    total = max((point.total_steps or 0 for point in points), default=0)
    return _lines({"rate": rate}, total, numerals, BAR_HEIGHT)


def whisker(measure: Measure) -> Whisker | None:
    """Place an interval so that zero, the limits and both ends fit; None without a complete interval."""
    difference, interval = measure.difference, measure.interval
    if difference is None or interval is None or interval[0] is None or interval[1] is None:
        return None
    margins = tuple(limits(measure))
    marks = [0.0, difference, interval[0], interval[1], *margins]
    if not all(map(math.isfinite, marks)):
        return None
    low, high = min(marks), max(marks)
    span = (high - low) or 1.0

    def percent(value: float) -> float:
        return round(4 + 92 * (value - low) / span, 2)

    return Whisker(
        low=percent(interval[0]),
        high=percent(interval[1]),
        middle=percent(difference),
        zero=percent(0.0),
        margins=tuple(percent(value) for value in margins),
    )


def whiskers(measure: Measure) -> Held:
    """Draw every comparison of a figure."""
    drawn: Held = []
    for one in measure.held_against():
        alike = {"difference": one.difference, "interval": one.interval, "allowed": one.allowed}
        drawn.append((one, whisker(measure.model_copy(update=alike))))
    return drawn


def limits(measure: Measure) -> list[float]:
    """Where a difference may lie: the report's own limits, else its margin.

    A single margin is how much worse the candidate may be, so it lies on the worse side of zero; a pair is a band for
    the candidate's own figure and has no place among differences.
    """
    if measure.allowed is not None:
        return [limit for limit in measure.allowed if limit is not None]
    if not isinstance(measure.margin, float):
        return []
    sides = {"higher": (-1,), "lower": (1,)}.get(measure.direction, (-1, 1))
    return [side * abs(measure.margin) for side in sides]


def round_steps(low: float, high: float, wanted: int = 4) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) that lie within [low, high]."""
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / wanted))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= wanted)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _bars(counts: Sequence[int], titles: Sequence[str], ticks: list[Tick], numerals: Numerals) -> BarChart:
    slot = 100 / len(counts)
    width = slot * 0.78
    peak = max(counts)
    bars = []
    for place, (count, title) in enumerate(zip(counts, titles, strict=True)):
        height = round((BAR_HEIGHT - HEADROOM) * count / peak, 1)
        height = max(height, 2.0) if count else 0.0
        left = place * slot + (slot - width) / 2
        bars.append(Bar(round(left, 3), round(width, 3), round(BAR_HEIGHT - height, 1), height, title))
    return BarChart(bars, ticks, BAR_HEIGHT, numerals.number(peak))


def _every_day(days: Sequence[DayCount]) -> list[DayCount]:
    """The last `MOST_DAYS` days up to the latest one, those without interactions included."""
    counts = {day.day: day.count for day in days}
    last = max(counts)
    first = max(min(counts), last - timedelta(days=MOST_DAYS - 1))
    span = (last - first).days + 1
    every = (first + timedelta(days=place) for place in range(span))
    return [DayCount(day=day, count=counts.get(day, 0)) for day in every]


def _day_ticks(days: Sequence[DayCount], numerals: Numerals) -> list[Tick]:
    last = len(days) - 1
    places = sorted({0, last // 2, last}) if last > 1 else list(range(len(days)))
    slot = 100 / len(days)
    ticks = []
    for place in places:
        anchor = "middle" if last == 0 else "start" if place == 0 else "end" if place == last else "middle"
        at = {"start": 0.0, "end": 100.0, "middle": (place + 0.5) * slot}[anchor]
        ticks.append(Tick(round(at, 2), numerals.day(days[place].day), anchor))
    return ticks


def _lines(series: dict[str, list[tuple[int, float]]], total: int, numerals: Numerals, height: int) -> LineChart | None:
    values = [value for line in series.values() for _, value in line]
    if not values:
        return None
    low, high = min(values), max(values)
    pad = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    low, high = (max(low - pad, 0.0) if low >= 0 else low - pad), high + pad
    right = max(total, *(step for line in series.values() for step, _ in line), 1)

    def across(step: float) -> float:
        return step / right

    def down(value: float) -> float:
        return round(HEADROOM + (height - HEADROOM) * (1 - (value - low) / (high - low)), 1)

    curves = []
    for name, line in series.items():
        if not line:
            continue
        thin = thinned(line)
        points = " ".join(f"{across(step) * CURVE_WIDTH:.1f},{down(value)}" for step, value in thin)
        dots = [(round(across(step) * 100, 2), down(value)) for step, value in thin] if len(thin) <= 24 else []
        curves.append(Curve(name, points, dots, numerals.figure(line[-1][1])))
    y_ticks = [Tick(down(value), numerals.figure(value)) for value in round_steps(low, high)]
    x_ticks = [
        Tick(round(across(step) * 100, 2), numerals.number(int(step)), _anchor(across(step) * 100))
        for step in round_steps(0, right)
        if float(step).is_integer()
    ]
    return LineChart(curves, [tick for tick in y_ticks if tick.at >= HEADROOM], x_ticks, height)


def thinned(line: Sequence[tuple[int, float]], limit: int = LONGEST_CURVE) -> list[tuple[float, float]]:
    """Average neighbours so that at most `limit` points remain; the last point stays itself."""
    if len(line) <= limit:
        return [(float(step), value) for step, value in line]
    size = math.ceil((len(line) - 1) / (limit - 1))
    groups = [line[at : at + size] for at in range(0, len(line) - 1, size)]
    groups[-1] = groups[-1][: len(line) - 1 - (len(groups) - 1) * size]
    means = [(sum(step for step, _ in group) / len(group), sum(v for _, v in group) / len(group)) for group in groups]
    return [*means, (float(line[-1][0]), line[-1][1])]


def _anchor(percent: float) -> str:
    return "start" if percent < 3 else "end" if percent > 97 else "middle"


def _measured(line: Iterable[tuple[int, float | None]]) -> list[tuple[int, float]]:
    return [(step, value) for step, value in line if value is not None and math.isfinite(value)]
