"""How sure are we of a difference? Paired bootstrap over clusters.

The cluster (a probe, a dialogue, a text) is the unit: two samples of one probe are not two independent facts, so whole
clusters are resampled and the difference is taken cluster by cluster (Miller 2024, arXiv 2411.00640). The interval is the
central 90 %: each of its ends is a one-sided 95 % bound, which is what a non-inferiority verdict asks for; it is wider where
several looks share the 5 %.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Statistic = Literal["mean", "median", "p90"]
Range = tuple[float, float]

# From here on the sign test's bound (1/4096) is as small as what Holm's correction asks of one comparison among fifty: it
# would keep twelve dialogues that all fell from ever saying so.
MANY_CLUSTERS = 12
ROUNDS = 2000  # the ends of the interval move by less than 0.01 of its width between seeds at 2000 (0.03 at 400)
TAIL = 0.05
_QUANTILE: dict[Statistic, float] = {"median": 0.5, "p90": 0.9}
SLACK = 1e-9  # on the edge is inside; sums of floats are not exact


@dataclass(frozen=True)
class Estimate:
    """A value with the interval around it, and the number of clusters it rests on.

    `rounds` holds the value in every bootstrap round.
    """

    value: float
    low: float
    high: float
    clusters: int
    rounds: NDArray[np.float64] = field(repr=False, compare=False)

    @property
    def error(self) -> float:
        """Standard error: the spread of the bootstrap rounds."""
        return float(self.rounds.std())

    def p_outside(self, allowed: Range) -> float:
        """How often chance alone puts the value this far outside `allowed`, in (0, 1].

        The share of rounds that are not beyond the edge, for whichever edge is the worse one, as (k + 1) / (rounds + 1)
        (Davison & Hinkley 1997, 4.11): never 0, because a finite number of rounds proves nothing with certainty. Of fewer than
        12 clusters never below 1 / 2^clusters, the sign test's answer to all of them lying outside: three that agree are no
        proof, however often they are drawn.
        """
        low, high = allowed
        kept = min(int((self.rounds >= low - SLACK).sum()), int((self.rounds <= high + SLACK).sum()))
        p = (kept + 1) / (len(self.rounds) + 1)
        return max(p, 0.5**self.clusters) if self.clusters < MANY_CLUSTERS else p

    def inside(self, allowed: Range) -> bool:
        """Does the whole interval lie in `allowed`?"""
        return self.low >= allowed[0] - SLACK and self.high <= allowed[1] + SLACK


def per_cluster(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of each cluster's samples (clusters x samples); NaN samples are left out, NaN where a cluster has none."""
    counted = ~np.isnan(values)
    counts = counted.sum(axis=1)
    sums = np.where(counted, values, 0.0).sum(axis=1)
    means = np.full(len(values), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means


def estimate(
    values: NDArray[np.float64], statistic: Statistic, seed: int, *, tail: float = TAIL, rounds: int = ROUNDS
) -> Estimate | None:
    """Mean, median or 90th percentile over clusters with its interval; None when no cluster has a value."""
    known = per_cluster(values)
    known = known[~np.isnan(known)]
    if not len(known):
        return None
    return _estimate(_over(known, statistic), _resampled(known, statistic, seed, rounds), len(known), tail)


def estimate_difference(
    candidate: NDArray[np.float64],
    reference: NDArray[np.float64],
    statistic: Statistic,
    seed: int,
    *,
    tail: float = TAIL,
    rounds: int = ROUNDS,
) -> Estimate | None:
    """Candidate minus reference on the clusters where both have a value; None when there is none.

    Raises:
        ValueError: the two were not asked the same number of probes.
    """
    ours, theirs = per_cluster(candidate), per_cluster(reference)
    if len(ours) != len(theirs):
        raise ValueError("A paired difference needs the same probes on both sides.")
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    ours, theirs = ours[both], theirs[both]
    if not len(ours):
        return None
    value = _over(ours, statistic) - _over(theirs, statistic)
    spread = _resampled(ours, statistic, seed, rounds) - _resampled(theirs, statistic, seed, rounds)
    return _estimate(value, spread, len(ours), tail)


def share_within(candidate: NDArray[np.float64], reference: NDArray[np.float64]) -> float | None:
    """The share of the difference's variance that comes from sampling the same clusters again, in [0, 1].

    More samples reduce this share and nothing else. None when no cluster was sampled twice on both sides: then nobody can
    tell the two sources apart.
    """
    both = ~np.isnan(per_cluster(candidate)) & ~np.isnan(per_cluster(reference))
    ours, theirs = candidate[both], reference[both]
    total = np.var(per_cluster(ours) - per_cluster(theirs), ddof=1) if len(ours) > 1 else 0.0
    noise = _variance_of_means(ours), _variance_of_means(theirs)
    if total <= 0 or noise[0] is None or noise[1] is None:
        return None
    return float(min((noise[0] + noise[1]) / total, 1.0))


def _variance_of_means(values: NDArray[np.float64]) -> float | None:
    counts = (~np.isnan(values)).sum(axis=1)
    twice = values[counts > 1]
    if not len(twice):
        return None
    return float(np.mean(np.nanvar(twice, axis=1, ddof=1) / counts[counts > 1]))


@lru_cache(maxsize=8)
def _draws(clusters: int, seed: int, rounds: int) -> NDArray[np.int64]:
    """The same resampling for every measure over the same clusters: drawn once."""
    return np.random.default_rng(seed).integers(0, clusters, size=(rounds, clusters))


@lru_cache(maxsize=8)
def _weights(clusters: int, seed: int, rounds: int) -> NDArray[np.float64]:
    """The same draws as the share each cluster has in each round: a mean is then one product of matrices."""
    flat = _draws(clusters, seed, rounds) + clusters * np.arange(rounds)[:, None]
    return np.bincount(flat.ravel(), minlength=rounds * clusters).reshape(rounds, clusters) / clusters


def _resampled(values: NDArray[np.float64], statistic: Statistic, seed: int, rounds: int) -> NDArray[np.float64]:
    if statistic == "mean":
        return np.asarray(_weights(len(values), seed, rounds) @ values, dtype=np.float64)
    drawn = values[_draws(len(values), seed, rounds)]
    return np.asarray(np.quantile(drawn, _QUANTILE[statistic], axis=1), dtype=np.float64)


def _over(values: NDArray[np.float64], statistic: Statistic) -> float:
    return float(np.mean(values) if statistic == "mean" else np.quantile(values, _QUANTILE[statistic]))


def _estimate(value: float, rounds: NDArray[np.float64], clusters: int, tail: float) -> Estimate:
    low, high = np.quantile(rounds, [tail, 1 - tail])
    return Estimate(value=value, low=float(low), high=float(high), clusters=clusters, rounds=rounds)
