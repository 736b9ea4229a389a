"""The report as one self-contained HTML page: no script, no font, nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from persona_training.adapters import write_text
from persona_training.evaluation.drawings import DRIFT_HEIGHT, WIDTH, draw_drift, draw_interval, draw_levels
from persona_training.evaluation.judgement import too_few

OPEN_REPLIES = 4  # of a facet, before the rest is folded: what changed most fits on one screen
# Control characters, which no page may hold, and halves of an emoji, which UTF-8 cannot; a model's words come with either.
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
HEADLINES = {
    "pass": "She is still herself.",
    "fail": "She is not herself any more.",
    "inconclusive": "It cannot be told yet.",
}
NAMES = {
    "floor": "base model",
    "ceiling": "hand-written",
    "golden": "golden version",
    "reference": "reference",
    "candidate": "candidate",
    "alone": "by itself",
}


def write_page(path: Path, report: Mapping[str, Any]) -> None:
    """Render the report, whole or not at all. Every text of it is escaped: replies are untrusted."""
    environment = Environment(
        loader=PackageLoader("persona_training.evaluation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(amount=amount, figure=figure, plain=plain, share=share)
    page = environment.get_template("report.html.jinja").render(
        report=report,
        headline=HEADLINES[report["verdict"]],
        open_questions=[m for m in _worst_first(report) if m["verdict"] != "pass" and not m["advisory"]],
        too_few=too_few(report["battery"]["probes"]),
        deciding=[m for m in report["metrics"] if not m["advisory"]],
        advisory=[m for m in report["metrics"] if m["advisory"]],
        facets=by_facet(report["replies"]),
        draw_interval=draw_interval,
        draw_levels=draw_levels,
        draw_drift=draw_drift,
        names=NAMES,
        width=WIDTH,
        drift_height=DRIFT_HEIGHT,
        open_replies=OPEN_REPLIES,
    )
    write_text(path, _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", page))


def _worst_first(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    return sorted(report["metrics"], key=lambda metric: str(metric["verdict"]) != "fail")


def by_facet(replies: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The rows of each facet; they come sorted by change, so the facet that changed most is first, and so are its rows."""
    facets: dict[str, list[dict[str, Any]]] = {}
    for row in replies:
        facets.setdefault(row["facet"], []).append(row)
    return facets


def figure(value: float | None, signed: bool = False) -> str:
    """A number as precise as it is telling: two decimals, more below a tenth; a dash for none."""
    if value is None:
        return "–"
    text = f"{value:+.3f}" if abs(value) < 0.1 else f"{value:+.2f}"
    return (text if signed else text.removeprefix("+")).replace("-", "\N{MINUS SIGN}")


def share(value: float) -> str:
    """A share in per cent."""
    return f"{100 * value:.1f}".removesuffix(".0").replace("-", "\N{MINUS SIGN}") + "\N{NO-BREAK SPACE}%"


def amount(value: float | None, unit: str) -> str:
    """A value with its unit as people say it: a share as so many per cent of what it is a share of."""
    if value is None or not unit.startswith("share"):
        return f"{figure(value)} {unit}"
    return f"{share(value)} {unit.removeprefix('share')}".replace("  ", " ").strip()


def plain(comparison: Mapping[str, Any], metric: Mapping[str, Any]) -> str:
    """One comparison in a sentence for somebody who reads no intervals."""
    unit = str(metric["unit"])
    low, high = comparison["allowed"]
    if comparison["opponent"] == "alone":
        bounds = [f"at least {_bare(low, unit)}"] if low is not None else []
        bounds += [f"at most {_bare(high, unit)}"] if high is not None else []
        return f"By itself {' and '.join(bounds) or 'anything'} is acceptable."
    difference = comparison["difference"]
    level = _bare(metric[comparison["opponent"]], unit)
    if difference is None:
        return f"The {NAMES[comparison['opponent']]} has {level}: one of the two is infinite, so that they cannot be compared."
    far = f"{_apart(difference, unit)} {'more' if difference >= 0 else 'less'}"
    return f"The {NAMES[comparison['opponent']]} has {level}: that is {far}, and {_allowed(low, high, unit)}."


def _bare(value: float | None, unit: str) -> str:
    return share(value) if value is not None and unit.startswith("share") else figure(value)


def _apart(difference: float, unit: str) -> str:
    """The size of a difference; shares lie points apart, because "10 % less" would mean a tenth of them."""
    size = abs(difference)
    if not unit.startswith("share"):
        return figure(size)
    return f"{100 * size:.1f}".removesuffix(".0") + " points"


def _allowed(low: float | None, high: float | None, unit: str) -> str:
    if low is not None and low > 0:
        return f"it must be at least {_apart(low, unit)} more"
    if high is not None and high < 0:
        return f"it must be at least {_apart(high, unit)} less"
    bounds = [f"{_apart(low, unit)} less"] if low is not None else []
    bounds += [f"{_apart(high, unit)} more"] if high is not None else []
    return f"up to {' or '.join(bounds)} is still fine" if bounds else "anything is fine"
