"""The verdict: pass, fail or inconclusive, per metric and over all.

A metric passes when the whole interval lies in the range that is still fine, fails when the whole interval lies outside,
and is inconclusive when it straddles the edge: more samples would tell. The candidate fails when a hard rule is broken or
one metric fails, is inconclusive when one metric is, and passes otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from persona_training.evaluation.bootstrap import Estimate, estimate, estimate_difference
from persona_training.evaluation.hard_rules import HardFail, broken_rules, find_hard_fails
from persona_training.evaluation.memorisation import phrases
from persona_training.evaluation.metrics import Hearing, Metric, Values, metrics_of
from persona_training.evaluation.style import score_styles

Verdict = Literal["pass", "fail", "inconclusive"]
Replies = Sequence[Sequence[str]]
Range = tuple[float, float]

MIN_PROMPTS = 12  # with fewer, no difference below 0.2 (3/n rule of three) can be excluded, so nothing can pass


@dataclass(frozen=True)
class Voices:
    """What each model replied, prompts x samples; the same probes, samples and seed for all of them."""

    candidate: Replies
    reference: Replies | None = None
    floor: Replies | None = None

    def by_name(self) -> dict[str, Replies]:
        """The voices that were heard, floor first."""
        heard = {"floor": self.floor, "reference": self.reference, "candidate": self.candidate}
        return {name: replies for name, replies in heard.items() if replies is not None}


@dataclass(frozen=True)
class Finding:
    """One metric's figures and verdict; None where there was nothing to compare or to measure."""

    metric: Metric
    floor: float | None
    reference: float | None
    candidate: float | None
    difference: float | None
    interval: Range | None
    allowed: Range
    verdict: Verdict
    explain: str


@dataclass(frozen=True)
class Judgement:
    """The whole verdict with every figure behind it. `style` holds each model's log-odds per prompt and sample."""

    verdict: Verdict
    reasons: list[str]
    hard_fails: list[HardFail]
    findings: list[Finding]
    style: dict[str, Values]


def judge(
    hearing: Hearing, voices: Voices, *, seed: int, training_replies: Sequence[str] = (), system_prompt: str = ""
) -> Judgement:
    """Measure every voice and decide.

    Args:
        hearing: battery and probes; `known_phrases` is filled from `training_replies` when it is empty.
        voices: the replies.
        seed: of the bootstrap.
        training_replies: the character's replies in the dataset; empty when it is not at hand.
        system_prompt: what the candidate was told, to find it leaking.
    """
    if training_replies and not hearing.known_phrases:
        hearing = replace(hearing, known_phrases=phrases(training_replies))
    drawn = voices.by_name()
    style = score_styles(
        hearing.probes,
        drawn,
        floor=voices.floor,
        neutral=hearing.battery.neutral_replies,
        training_replies=training_replies,
    )
    findings = []
    for metric in metrics_of(hearing.battery):
        if metric.measure is None:
            values = style.of
            metric = calibrated(metric, style.ceiling, values.get("floor"))
        else:
            values = {name: metric.measure(hearing, replies) for name, replies in drawn.items()}
        findings.append(_finding(metric, values, seed))
    fails = find_hard_fails(hearing.battery, hearing.probes, voices.candidate, system_prompt)
    broken = broken_rules(fails, sum(len(samples) for samples in voices.candidate))
    return Judgement(
        verdict=_overall(broken, findings),
        reasons=broken + _reasons(findings),
        hard_fails=fails,
        findings=findings,
        style=style.of,
    )


def calibrated(metric: Metric, ceiling: float, floor: Values | None) -> Metric:
    """A metric whose margins were shares of the distance from floor to ceiling, now in its own unit.

    Without a floor the distance is taken from the classifier's own border, 0. It is never below 1 log-odds, so that a base
    model that already sounds like her does not make the margins vanish.
    """
    bottom = 0.0 if floor is None else float(np.nanmean(floor))
    span = max(ceiling - bottom, 1.0)
    return replace(
        metric,
        margin=round(metric.margin * span, 4),
        rise=None if metric.rise is None else round(metric.rise * span, 4),
        explain=f"{metric.explain} Ceiling: {ceiling:+.2f}.",
    )


def allowed_difference(metric: Metric, reference: float) -> Range:
    """How far the candidate may lie from the reference's value, lowest and highest.

    For a band the reference is first moved to the nearest acceptable value, so a bad reference excuses nobody.
    """
    if metric.direction == "higher":
        return -metric.margin, math.inf
    if metric.direction == "lower":
        return -math.inf, metric.margin
    low, high = metric.acceptable
    home = min(max(reference, low), high)
    top = home + metric.margin if metric.symmetric else high
    return home - metric.margin - reference, top - reference


def _finding(metric: Metric, values: dict[str, Values], seed: int) -> Finding:
    own = estimate(values["candidate"], metric.statistic, seed)
    levels = {name: estimate(array, metric.statistic, seed) for name, array in values.items()}
    opponent = "reference" if "reference" in values else "floor" if "floor" in values else None
    difference = (
        estimate_difference(values["candidate"], values[opponent], metric.statistic, seed) if opponent else None
    )
    other = levels[opponent] if opponent else None
    absolute = opponent is None or other is None or (opponent == "floor" and metric.against_floor == "absolute")
    if own is None:
        allowed, judged, how = metric.acceptable, None, "Nothing to measure in these replies, so it decides nothing."
    elif absolute or other is None:
        allowed, judged = metric.acceptable, own
        how = f"Judged on its own: {_span(own)} within {_range(allowed)}."
    else:
        allowed = _against(metric, str(opponent), other.value)
        judged = difference
        how = f"Judged against the {opponent}: the difference may lie within {_range(allowed)}."
    return Finding(
        metric=metric,
        floor=_value(levels.get("floor")),
        reference=_value(levels.get("reference")),
        candidate=_value(own),
        difference=_value(difference),
        interval=None if difference is None else (difference.low, difference.high),
        allowed=allowed,
        verdict="pass" if judged is None else decide(judged, allowed),
        explain=f"{metric.explain} {how}",
    )


def _against(metric: Metric, opponent: str, level: float) -> Range:
    if opponent == "floor" and metric.against_floor == "rise" and metric.rise is not None:
        ceiling = metric.acceptable[1] - level if metric.direction == "band" else math.inf
        return min(metric.rise, ceiling), ceiling
    return allowed_difference(metric, level)


def decide(estimated: Estimate, allowed: Range) -> Verdict:
    """Pass inside, fail outside, inconclusive across the edge, and never a pass on fewer than 12 prompts."""
    low, high = allowed
    slack = 1e-9
    if estimated.high < low - slack or estimated.low > high + slack:
        return "fail"
    if estimated.low < low - slack or estimated.high > high + slack:
        return "inconclusive"
    return "pass" if estimated.prompts >= MIN_PROMPTS else "inconclusive"


def _overall(broken: Sequence[str], findings: Sequence[Finding]) -> Verdict:
    verdicts = {finding.verdict for finding in findings if not finding.metric.advisory}
    if broken or "fail" in verdicts:
        return "fail"
    return "inconclusive" if "inconclusive" in verdicts else "pass"


def _reasons(findings: Sequence[Finding]) -> list[str]:
    return [
        f"{finding.metric.title}: {finding.verdict}. {sentence(finding)}"
        for finding in sorted(findings, key=lambda finding: finding.verdict != "fail")
        if finding.verdict != "pass" and not finding.metric.advisory
    ]


def sentence(finding: Finding) -> str:
    """The figures of one finding in words, for reasons and JUnit messages."""
    parts = [f"candidate {_number(finding.candidate)}"]
    if finding.reference is not None:
        parts.append(f"reference {_number(finding.reference)}")
    if finding.floor is not None:
        parts.append(f"floor {_number(finding.floor)}")
    if finding.interval is not None:
        low, high = finding.interval
        parts.append(f"difference {_number(finding.difference)} [{low:+.3f}, {high:+.3f}]")
    return f"{', '.join(parts)} {finding.metric.unit}; allowed {_range(finding.allowed)}"


def _value(estimated: Estimate | None) -> float | None:
    return None if estimated is None else estimated.value


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _span(estimated: Estimate) -> str:
    return f"{estimated.value:.3f} [{estimated.low:.3f}, {estimated.high:.3f}]"


def _range(allowed: Range) -> str:
    low, high = ("any" if math.isinf(edge) else f"{edge:.3f}" for edge in allowed)
    return f"[{low}, {high}]"
