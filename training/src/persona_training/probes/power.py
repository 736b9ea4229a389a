"""How much a battery of a given size can tell: the chance that the gate sees a habit go."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from persona_training.evaluation.bootstrap import TAIL
from persona_training.evaluation.metrics.margins import MARGINS

WEEKLY_PROBES, WEEKLY_SAMPLES = 80, 4  # what the weekly gate asks
# Probes differ in how surely they bring a habit out: a beta distribution with this many pseudo-observations. At 3 the
# simulation agrees to 0.06 with one that resampled whole prompts 2000 times for 300 pairs of runs.
SPREAD = 3.0
ROUNDS = 4000


def power(
    probes: int,
    samples: int,
    before: float = 0.70,
    after: float = 0.50,
    *,
    margin: float = MARGINS["marker_rate"],
    tail: float = TAIL / WEEKLY_SAMPLES,
) -> float:
    """The share of simulated comparisons in which the one-sided bound of the paired difference lies below what is allowed.

    Args:
        probes: asked of both versions, at least 2.
        samples: replies to each.
        before, after: share of replies that show the habit, in (0, 1), `after` being the lower one.
        margin: how far it may fall.
        tail: chance left out beyond the bound; of the gate's 5 %, each look has its share. Holm's correction is not in it.
    """
    chance = np.random.default_rng(7)
    rates = chance.beta(before * SPREAD, (1 - before) * SPREAD, size=(ROUNDS, probes))
    fallen = rates * after / before
    differences = (chance.binomial(samples, fallen) - chance.binomial(samples, rates)) / samples
    error = differences.std(axis=1, ddof=1) / np.sqrt(probes)
    bound = differences.mean(axis=1) + NormalDist().inv_cdf(1 - tail) * error
    return float(np.mean(bound < -margin))
