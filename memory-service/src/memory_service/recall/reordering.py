"""From the scores of a second reading to the order of those read. Pure and deterministic."""

from collections.abc import Sequence
from dataclasses import replace

from memory_service.recall.fusion import Fused

# The share of the second reading in the common score: as much as of all that went before. An even mix is fitted to no data
# and to no model; which share is best depends on the model.
_SHARE = 0.5


def reordered(first: Sequence[Fused], scores: Sequence[float]) -> list[Fused]:
    """`first`, those with a score of their own in their new order.

    A convex combination of both scores after stretching each to the same range (Bruch, Gai, Ingber: An Analysis of Fusion
    Functions for Hybrid Retrieval, 2023), which takes a model's scores in whatever unit they are. The range is that of
    `first`'s own scores: the best of many bad matches stays a bad match, and nobody falls behind those that were not read.

    Args:
        first: best first.
        scores: finite, higher is better, of the first ones of `first`. Equal scores are no opinion and change nothing.

    Returns:
        The ones with a score, best first (of equals whoever was first before), then the others as they were. What the second
        reading added or took is `boosts["rerank"]`.
    """
    read, rest = first[: len(scores)], first[len(scores) :]
    worst, best = min(scores, default=0.0), max(scores, default=0.0)
    # Halves, because the difference of two large numbers of opposite sign may be too large for a float.
    span = best / 2 - worst / 2
    if not span:
        return list(first)
    low, high = min(one.score for one in read), max(one.score for one in read)
    blended = []
    for one, score in zip(read, scores, strict=True):
        stretched = low + (high - low) * min(1.0, max(0.0, (score / 2 - worst / 2) / span))
        total = min(high, max(low, (1 - _SHARE) * one.score + _SHARE * stretched))
        boosts = {**one.boosts, "rerank": round(total - one.score, 6)}
        blended.append(replace(one, score=total, boosts=boosts))
    return [*sorted(blended, key=lambda one: -one.score), *rest]
