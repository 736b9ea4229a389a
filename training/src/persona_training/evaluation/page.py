"""The report as one self-contained HTML page: no script, no font, nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

WIDTH = 220  # of the interval drawing, in CSS pixels
PADDING = 0.08  # share of the scale kept free on both sides


def write_page(path: Path, report: dict[str, Any]) -> None:
    """Render the report. Every text of it is escaped: replies are untrusted."""
    environment = Environment(
        loader=PackageLoader("persona_training.evaluation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = figure
    page = environment.get_template("report.html.jinja").render(
        report=report, drawings={metric["name"]: draw_interval(metric) for metric in report["metrics"]}, width=WIDTH
    )
    path.write_text(page, encoding="utf-8")


def figure(value: float | None, signed: bool = False) -> str:
    """A number with three significant decimals, a dash for none."""
    if value is None:
        return "–"
    return f"{value:+.3f}" if signed else f"{value:.3f}"


def draw_interval(metric: dict[str, Any]) -> dict[str, float] | None:
    """Pixel positions of the allowed zone, the interval, its point and zero; None where nothing was compared."""
    if metric["interval"] is None or metric["difference"] is None:
        return None
    low, high = metric["interval"]
    zone = metric["allowed"]
    edges = [value for value in (low, high, 0.0, *zone) if value is not None]
    span = (max(edges) - min(edges)) or 1.0
    start, end = min(edges) - PADDING * span, max(edges) + PADDING * span

    def x(value: float) -> float:
        position: float = (value - start) / (end - start) * WIDTH
        return round(position, 1)

    zone_from = 0.0 if zone[0] is None else x(zone[0])
    zone_to = float(WIDTH) if zone[1] is None else x(zone[1])
    return {
        "zone": zone_from,
        "zone_width": max(0.0, round(zone_to - zone_from, 1)),
        "low": x(low),
        "high": x(high),
        "point": x(metric["difference"]),
        "zero": x(0.0),
    }
