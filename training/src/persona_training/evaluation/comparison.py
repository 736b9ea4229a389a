"""One metric against one opponent: how far the candidate may lie from it, where it lies, and what would settle the matter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

import numpy as np

from persona_training.evaluation.bootstrap import TAIL, Estimate, Range, estimate, estimate_difference, share_within
from persona_training.evaluation.exam import Values
from persona_training.evaluation.measuring import Measured
from persona_training.evaluation.metrics import Metric

Verdict = Literal["pass", "fail", "inconclusive"]
Opponent = Literal["reference", "golden", "floor", "alone"]

# Six probes, dialogues or texts that agree are what a sign test no longer calls chance (1/64); with fewer, nothing passes.
FEWEST = 6
EDGE = 20  # times as many clusters as were asked: nobody writes them, so the value lies on the edge
MOST_SAMPLES = 32  # a probe asked more often than this costs more than writing further probes


@dataclass(frozen=True)
class Draws:
    """How intervals are drawn: `tail` is the chance left out at each end, `rounds` the bootstrap rounds."""

    seed: int
    tail: float
    rounds: int


@dataclass(frozen=True)
class Trial:
    """A comparison before it is known how many others it is judged with.

    Attributes:
        metric: what is compared.
        opponent: with whom; "alone" is judged by what is acceptable in itself.
        estimated: the difference candidate minus opponent; the candidate's own level when it stands alone.
        allowed: where it may lie.
        within: share of its variance that more samples would reduce; None when that cannot be told.
        samples: per cluster.
    """

    metric: Metric
    opponent: Opponent
    estimated: Estimate
    allowed: Range
    within: float | None
    samples: int

    @property
    def p(self) -> float:
        """Unadjusted: could a true value inside the allowed range look like this?"""
        return self.estimated.p_outside(self.allowed)


@dataclass(frozen=True)
class Comparison:
    """The outcome of a trial. `difference` and `interval` are the candidate's own level when it stands alone.

    `clusters` is the number of probes, dialogues or texts it rests on; `more_samples` per cluster would probably decide what is
    inconclusive, or `clusters_needed` in all, where more samples would not or nobody can tell.
    """

    opponent: Opponent
    difference: float
    interval: Range
    allowed: Range
    p: float
    p_adjusted: float
    verdict: Verdict
    clusters: int
    more_samples: int | None = None
    clusters_needed: int | None = None


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


def trials(measured: Measured, draws: Draws) -> list[Trial]:
    """Every comparison that decides a metric, reference first; empty when nothing can be said.

    The floor is an opponent where there is no version to compare with, and where the metric asks for it always. What too few
    probes were asked for stays a comparison, and an inconclusive one. But what depends on what a reply happens to say (does it
    address anybody, is it long enough) is no comparison where fewer than `FEWEST` clusters tell it on both sides: the candidate
    is then judged by herself, or not at all.
    """
    metric, values = measured.metric, measured.values
    known = [name for name in ("reference", "golden", "floor") if name in values and not np.isnan(values[name]).all()]
    if np.isnan(values["candidate"]).all():
        return []
    found: list[Trial | None] = []
    if "reference" in known:
        found.append(_against(measured, "reference", draws))
    if "golden" in known:
        found.append(_against(measured, "golden", draws))
    if "floor" in known and (metric.also_floor or (metric.against_floor != "absolute" and not found)):
        found.append(_against(measured, "floor", draws))
    by_chance = told_by_chance(values)
    kept = [one for one in found if one is not None and (one.estimated.clusters >= FEWEST or not by_chance)]
    if kept:
        return kept
    return [one for one in _alone(measured, draws) if one.estimated.clusters >= FEWEST or not by_chance]


def told_by_chance(values: Mapping[str, Values]) -> bool:
    """Does it depend on the reply, and not only on the probe, whether there is anything to judge?"""
    unknown = np.hstack([np.isnan(rows) for rows in values.values() if not np.isnan(rows).all()])
    return bool((unknown.any(axis=1) & ~unknown.all(axis=1)).any())


def _against(measured: Measured, opponent: Opponent, draws: Draws) -> Trial | None:
    metric, ours, theirs = measured.metric, measured.values["candidate"], measured.values[opponent]
    level = estimate(theirs, metric.statistic, draws.seed, tail=draws.tail, rounds=draws.rounds)
    found = estimate_difference(ours, theirs, metric.statistic, draws.seed, tail=draws.tail, rounds=draws.rounds)
    if level is None or found is None:
        return None
    allowed = allowed_difference(metric, level.value)
    if opponent == "floor":
        allowed = _above_floor(metric, level.value)
    return Trial(metric, opponent, found, allowed, share_within(ours, theirs), ours.shape[1])


def _above_floor(metric: Metric, level: float) -> Range:
    if metric.against_floor == "rise" and metric.rise is not None:
        ceiling = metric.acceptable[1] - level if metric.direction == "band" else math.inf
        return min(metric.rise, ceiling), ceiling
    margin = metric.margin if metric.floor_margin is None else metric.floor_margin
    return allowed_difference(replace(metric, margin=margin), level)


def _alone(measured: Measured, draws: Draws) -> list[Trial]:
    metric, ours = measured.metric, measured.values["candidate"]
    own = estimate(ours, metric.statistic, draws.seed, tail=draws.tail, rounds=draws.rounds)
    nothing = np.zeros_like(ours)
    return (
        []
        if own is None
        else [Trial(metric, "alone", own, metric.acceptable, share_within(ours, nothing), ours.shape[1])]
    )


def decided(trial: Trial, p_adjusted: float, alpha: float, comparisons: int) -> Comparison:
    """The outcome of a trial among `comparisons` that decide together.

    It fails when chance is no explanation (the adjusted p is below alpha), passes when its whole interval lies in the allowed
    range and rests on enough clusters, and is inconclusive otherwise.
    """
    enough = trial.estimated.clusters >= FEWEST
    verdict: Verdict = "inconclusive"
    if p_adjusted < alpha:
        verdict = "fail"
    elif trial.estimated.inside(trial.allowed) and enough:
        verdict = "pass"
    more, needed = (None, None) if verdict != "inconclusive" else _what_would_tell(trial, alpha, comparisons)
    return Comparison(
        opponent=trial.opponent,
        difference=trial.estimated.value,
        interval=(trial.estimated.low, trial.estimated.high),
        allowed=trial.allowed,
        p=trial.p,
        p_adjusted=p_adjusted,
        verdict=verdict,
        clusters=trial.estimated.clusters,
        more_samples=more,
        clusters_needed=needed,
    )


def _what_would_tell(trial: Trial, alpha: float, comparisons: int) -> tuple[int | None, int | None]:
    """More samples per cluster, or clusters in all, after which the value seen now would be decisive; None for neither,
    where it lies on the very edge.

    The error must shrink until the edge is as many standard errors away as a verdict asks for: a pass the one-sided bound,
    a fail that bound corrected for all comparisons. Samples shrink only the part of the variance that sampling causes.
    """
    found, (low, high) = trial.estimated, trial.allowed
    inside = low <= found.value <= high
    gap = min(found.value - low, high - found.value) if inside else max(low - found.value, found.value - high)
    needs = NormalDist().inv_cdf(1 - (alpha if inside else alpha / max(comparisons, 1)))
    if found.clusters < FEWEST:
        return None, FEWEST
    if gap < 1e-9:
        return None, None
    excess = (found.error * needs / gap) ** 2
    if trial.within is not None:
        room = 1 / max(excess, 1.0) - (1 - trial.within)
        wanted = math.inf if room <= 0 else math.ceil(trial.samples * trial.within / room)
        if wanted <= MOST_SAMPLES:
            return max(int(wanted) - trial.samples, 1), None
    return None, None if excess > EDGE else max(math.ceil(found.clusters * excess), found.clusters + 1)


def noise(values: Values, metric: Metric, draws: Draws) -> float | None:
    """How far two hearings of one voice lie apart by chance: half-width of the 90 % interval; None for one sample.

    Of the 90 % interval however many looks share the 5 %, because margins were set against that one. The odd samples are
    compared with the even ones; each half has fewer samples than a real comparison, so its noise is scaled to as many as there
    are.
    """
    samples = values.shape[1]
    if samples < 2:
        return None
    odd, even = values[:, ::2], values[:, 1::2]
    found = estimate_difference(odd, even, metric.statistic, draws.seed, tail=TAIL, rounds=draws.rounds)
    if found is None:
        return None
    scale = math.sqrt((2 / samples) / (1 / odd.shape[1] + 1 / even.shape[1]))
    return float((found.high - found.low) / 2 * scale)
