"""The score of one exchange: hard rules first, then the weighted mean of the soft signals, every part explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from memory_service.scoring.drops import broken_rules
from memory_service.scoring.exchange import Exchange, QualityScore, ScoringContext, Signal
from memory_service.scoring.signals import SIGNALS, marker_hits
from memory_service.scoring.weights import SCORER_VERSION, WEIGHTS


def score(exchange: Exchange, context: ScoringContext | None = None) -> QualityScore:
    """How much the character should learn from this exchange: 0 (nothing) to 1.

    Pure and deterministic. 0 with the reasons when a hard rule is broken; otherwise the mean of the signals by weight,
    never above the lowest ceiling a signal set. The signals are listed either way.
    """
    context = context or ScoringContext()
    drops = broken_rules(exchange, context, marker_hits(exchange.output_text, context))
    signals = _weighted(exchange, context)
    total = 0.0 if drops else _mean(signals)
    return QualityScore(score=total, drops=drops, signals=signals, scorer_version=SCORER_VERSION)


def from_ratings(ratings: Sequence[int]) -> float:
    """The score people gave: the mean of ratings 1..5 on [0, 1] (1 → 0, 3 → 0.5, 5 → 1). It overrides the rules.

    Raises ValueError without ratings or outside 1..5.
    """
    if not ratings:
        raise ValueError("no ratings given")
    if any(not 1 <= rating <= 5 for rating in ratings):
        raise ValueError(f"ratings go from 1 to 5, got {list(ratings)}")
    return round((sum(ratings) / len(ratings) - 1) / 4, 4)


def explain(quality: QualityScore) -> list[str]:
    """The breakdown as sentences, most decisive first: drops, then what cost the most."""
    if quality.drops:
        return [f"dropped ({drop.rule}): {drop.why}" for drop in quality.drops]
    by_cost = sorted(quality.signals, key=lambda signal: signal.weight * (1 - signal.value), reverse=True)
    return [f"{signal.name} {signal.value:.2f} × {signal.weight:.2f}: {signal.why}" for signal in by_cost]


def _weighted(exchange: Exchange, context: ScoringContext) -> tuple[Signal, ...]:
    present = [signal for function in SIGNALS if (signal := function(exchange, context)) is not None]
    total = sum(WEIGHTS[signal.name] for signal in present)
    return tuple(
        replace(signal, value=round(signal.value, 4), weight=round(WEIGHTS[signal.name] / total, 4))
        for signal in present
    )


def _mean(signals: tuple[Signal, ...]) -> float:
    weight = sum(signal.weight for signal in signals)
    mean = sum(signal.value * signal.weight for signal in signals) / weight
    return round(min(mean, *(signal.ceiling for signal in signals)), 4)
