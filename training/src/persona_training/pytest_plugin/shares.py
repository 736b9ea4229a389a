"""The interval of a share of replies when several of them answer the same prompt."""

from __future__ import annotations

from collections.abc import Sequence

TAIL = 0.05  # at either end, so that each end is a one-sided 95 % bound


def share_interval(hits: Sequence[Sequence[bool]]) -> tuple[float, float, float]:
    """The share of hits with its lower and upper bound.

    Clopper and Pearson's exact interval (1934) with the effective number of replies in place of their number, as Korn and
    Graubard (Survey Methodology 24, 1998) do for clustered samples: replies to one prompt that are all alike count once,
    those that differ as if to different prompts count each. Where every reply is a hit or none is, nothing tells how alike
    they are, and every prompt counts once. Replies to one prompt alone count each: the claim is then about that prompt.

    Args:
        hits: per prompt, at least one each; at least one prompt.
    """
    sizes = [len(row) for row in hits]
    total, found = sum(sizes), sum(map(sum, hits))
    share = found / total
    effective = _effective(hits, sizes, share)
    counted = share * effective
    low = _beta(TAIL, counted, effective - counted + 1) if counted > 0 else 0.0
    high = _beta(1 - TAIL, counted + 1, effective - counted) if counted < effective else 1.0
    return share, low, high


def _effective(hits: Sequence[Sequence[bool]], sizes: Sequence[int], share: float) -> float:
    """Independent replies that would be as telling: at least one per prompt, at most all."""
    total, clusters = sum(sizes), len(sizes)
    if clusters in (1, total):
        return total
    if share in (0.0, 1.0):
        return clusters
    deviations = (sum(row) - size * share for row, size in zip(hits, sizes, strict=True))
    variance = sum(deviation**2 for deviation in deviations) * clusters / (clusters - 1) / total**2
    return float(min(total, max(clusters, share * (1 - share) / variance))) if variance else total


def _beta(probability: float, a: float, b: float) -> float:
    from scipy.special import betaincinv  # type: ignore[import-untyped]

    return float(betaincinv(a, b, probability))
