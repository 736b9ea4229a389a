"""The geometry of the report's drawings, in pixels; the template only prints it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH = 260
PADDING = 0.08  # share of the scale kept free on both sides
DRIFT_HEIGHT = 44
LEVELS = ("floor", "ceiling", "golden", "reference", "candidate")  # drawn in this order: the candidate lies on top


@dataclass(frozen=True)
class Interval:
    """A difference: the allowed zone, the interval, its point, and zero (None where a level is judged by itself)."""

    zone: float
    zone_width: float
    low: float
    high: float
    point: float
    zero: float | None


@dataclass(frozen=True)
class Line:
    """One voice through a dialogue: runs of connected turns, each "x,y x,y …", and single points."""

    voice: str
    runs: tuple[str, ...]
    points: tuple[tuple[float, float], ...]


def draw_interval(comparison: Mapping[str, Any]) -> Interval | None:
    """A comparison of the report; None where it has no interval."""
    if comparison["difference"] is None or None in comparison["interval"]:
        return None
    low, high = comparison["interval"]
    allowed = comparison["allowed"]
    zero = None if comparison["opponent"] == "alone" else 0.0
    x = _scale([edge for edge in (low, high, zero, *allowed) if edge is not None], WIDTH)
    zone_from = 0.0 if allowed[0] is None else x(allowed[0])
    zone_to = float(WIDTH) if allowed[1] is None else x(allowed[1])
    return Interval(
        zone=zone_from,
        zone_width=max(0.0, round(zone_to - zone_from, 1)),
        low=x(low),
        high=x(high),
        point=x(comparison["difference"]),
        zero=None if zero is None else x(zero),
    )


def draw_levels(metric: Mapping[str, Any]) -> dict[str, float] | None:
    """Where every voice stands on one axis, by voice; None where there is nothing to stand beside."""
    known = {name: float(metric[name]) for name in LEVELS if metric.get(name) is not None}
    if len(known) < 2:
        return None
    x = _scale(list(known.values()), WIDTH)
    return {name: x(value) for name, value in known.items()}


def draw_drift(voices: Mapping[str, Sequence[float | None]]) -> list[Line]:
    """Every voice's line over the turns of a dialogue, all on one scale; a turn that cannot be judged is a gap."""
    known = [value for values in voices.values() for value in values if value is not None]
    if not known:
        return []
    turns = max(len(values) for values in voices.values())
    across, up = _scale([0.0, float(max(turns - 1, 1))], WIDTH), _scale(known, DRIFT_HEIGHT)
    lines = []
    for voice, values in voices.items():
        points = [
            None if value is None else (across(float(turn)), round(DRIFT_HEIGHT - up(value), 1))
            for turn, value in enumerate(values)
        ]
        lines.append(Line(voice, tuple(_runs(points)), tuple(point for point in points if point is not None)))
    return lines


def _runs(points: Sequence[tuple[float, float] | None]) -> list[str]:
    runs: list[list[str]] = [[]]
    for point in points:
        if point is None:
            runs.append([])
        else:
            runs[-1].append(f"{point[0]},{point[1]}")
    return [" ".join(run) for run in runs if len(run) > 1]


def _scale(values: Sequence[float], length: int) -> Callable[[float], float]:
    """From a value to its place, so that all values fit with some room at both ends."""
    low, high = min(values), max(values)
    room = (high - low) * PADDING or 1.0
    start, end = low - room, high + room
    return lambda value: round((value - start) / (end - start) * length, 1)
