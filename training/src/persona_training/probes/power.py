"""How much a battery of a given size can tell: the chance that the gate sees a habit go."""

from __future__ import annotations

import numpy as np

WEEKLY_PROBES, WEEKLY_SAMPLES = 80, 4  # what the weekly gate asks
# Probes differ in how surely they bring a habit out: a beta distribution with this many pseudo-observations. At 3 the
# simulation agrees to 0.06 with one that resampled whole prompts 2000 times for 300 pairs of runs.
SPREAD = 3.0
ROUNDS = 4000
ONE_SIDED_95 = 1.6449


def power(probes: int, samples: int, before: float = 0.70, after: float = 0.60) -> float:
    """The share of simulated comparisons in which the one-sided 95 % bound of the paired difference lies below zero.

    Args:
        probes: asked of both versions, at least 2.
        samples: replies to each.
        before, after: share of replies that show the habit, in (0, 1), `after` being the lower one.
    """
    chance = np.random.default_rng(7)
    rates = chance.beta(before * SPREAD, (1 - before) * SPREAD, size=(ROUNDS, probes))
    fallen = rates * after / before
    differences = (chance.binomial(samples, fallen) - chance.binomial(samples, rates)) / samples
    error = differences.std(axis=1, ddof=1) / np.sqrt(probes)
    return float(np.mean(differences.mean(axis=1) + ONE_SIDED_95 * error < 0))
