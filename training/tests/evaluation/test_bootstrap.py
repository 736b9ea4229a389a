"""Intervals cover what they should, by whole clusters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from persona_training.evaluation.bootstrap import ROUNDS, estimate, estimate_difference, per_cluster, share_within
from persona_training.evaluation.multiplicity import holm

Values = NDArray[np.float64]


def test_samples_are_averaged_within_their_probe() -> None:
    values = np.array([[1.0, 0.0], [math.nan, 1.0], [math.nan, math.nan]])
    assert per_cluster(values)[:2].tolist() == [0.5, 1.0]
    assert math.isnan(per_cluster(values)[2])


def test_the_mean_and_the_median() -> None:
    values = np.array([[1.0], [2.0], [9.0]])
    mean, median = estimate(values, "mean", 7), estimate(values, "median", 7)
    assert mean is not None
    assert median is not None
    assert (mean.value, median.value, mean.clusters) == (4.0, 2.0, 3)
    assert set(median.rounds) <= {1.0, 2.0, 9.0}


def test_nothing_to_measure_is_none() -> None:
    nothing = np.full((3, 2), math.nan)
    assert estimate(nothing, "mean", 7) is None
    assert estimate_difference(nothing, np.ones((3, 2)), "mean", 7) is None


def test_only_probes_known_on_both_sides_are_compared() -> None:
    ours = np.array([[1.0], [1.0], [math.nan]])
    theirs = np.array([[0.0], [math.nan], [0.0]])
    found = estimate_difference(ours, theirs, "mean", 7)
    assert found is not None
    assert (found.value, found.clusters) == (1.0, 1)


def test_different_probes_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="same probes"):
        estimate_difference(np.ones((3, 1)), np.ones((4, 1)), "mean", 7)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=30), st.floats(-3, 3))
def test_a_constant_shift_has_no_uncertainty(levels: list[float], shift: float) -> None:
    """Probes may differ as they like: paired by probe, only the change of each probe counts."""
    base = np.array(levels)[:, None]
    found = estimate_difference(base + shift, base, "mean", 7)
    assert found is not None
    assert found.low == pytest.approx(shift, abs=1e-9)
    assert found.high == pytest.approx(shift, abs=1e-9)


def test_more_samples_of_one_probe_do_not_narrow_the_interval() -> None:
    """The probe is the unit: copying each probe's samples adds no knowledge."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(40, 1))
    once, many = estimate(values, "mean", 7), estimate(np.repeat(values, 10, axis=1), "mean", 7)
    assert once is not None
    assert many is not None
    assert many.high - many.low == pytest.approx(once.high - once.low)


def test_the_interval_covers_the_truth_nine_times_in_ten() -> None:
    """300 experiments of 40 probes; 90 % nominal, 3 standard errors of slack, and not needlessly wide."""
    rng = np.random.default_rng(11)
    hits = 0
    for _ in range(300):
        levels = rng.uniform(0.2, 0.9, size=40)
        ours = rng.binomial(2, np.clip(levels - 0.1, 0, 1)) / 2
        theirs = rng.binomial(2, levels) / 2
        found = estimate_difference(ours[:, None], theirs[:, None], "mean", 5)
        assert found is not None
        hits += found.low <= -0.1 <= found.high
    assert 0.84 <= hits / 300 <= 0.96


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(2).normal(size=(30, 2))
    assert estimate(values, "mean", 3) == estimate(values, "mean", 3)
    assert estimate(values, "mean", 3) != estimate(values, "mean", 4)


def test_a_mean_over_rounds_is_the_mean_over_their_draws() -> None:
    """The quick way (one product) and the plain way (look up and average) agree."""
    values = np.random.default_rng(3).normal(size=(25, 1))
    found = estimate(values, "mean", 9)
    assert found is not None
    draws = np.random.default_rng(9).integers(0, 25, size=(ROUNDS, 25))
    assert found.rounds == pytest.approx(values[:, 0][draws].mean(axis=1))


@pytest.mark.parametrize(
    ("allowed", "p"),
    [
        ((-math.inf, math.inf), 1.0),
        ((-0.6, math.inf), 1.0),
        ((0.5, math.inf), 1 / (ROUNDS + 1)),
        ((-math.inf, -1.0), 1 / (ROUNDS + 1)),
    ],
)
def test_p_is_the_share_of_rounds_not_outside(allowed: tuple[float, float], p: float) -> None:
    found = estimate(np.full((20, 1), -0.5), "mean", 7)
    assert found is not None
    assert found.p_outside(allowed) == p


def test_a_handful_of_probes_is_no_proof_however_often_they_are_drawn() -> None:
    for probes in (1, 3, 6):
        found = estimate(np.full((probes, 4), -0.5), "mean", 7)
        assert found is not None
        assert found.p_outside((0.0, math.inf)) == 0.5**probes


def test_p_on_the_edge_is_about_a_half() -> None:
    values = np.random.default_rng(4).normal(size=(60, 1))
    found = estimate(values - values.mean(), "mean", 7)
    assert found is not None
    assert 0.4 < found.p_outside((0.0, math.inf)) < 0.6


def test_what_sampling_adds_is_told_from_what_probes_differ_in() -> None:
    rng = np.random.default_rng(5)
    levels = rng.normal(size=(400, 1))
    same = share_within(levels + rng.normal(size=(400, 4)), levels + rng.normal(size=(400, 4)))
    apart = share_within(rng.normal(size=(400, 1)) + 0.01 * rng.normal(size=(400, 4)), levels + np.zeros((400, 4)))
    assert same is not None
    assert apart is not None
    assert same > 0.85  # the probes differ, but alike on both sides
    assert apart < 0.01
    assert share_within(levels, levels + 1) is None  # one sample each: nobody can tell


probabilities = st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=30)


@given(probabilities)
def test_holm_never_lowers_a_p_and_keeps_the_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= q <= 1.0 for p, q in zip(p_values, adjusted, strict=True))
    by_p = [q for _, q in sorted(zip(p_values, adjusted, strict=True))]
    assert by_p == sorted(by_p)
    assert min(adjusted) == pytest.approx(min(1.0, len(p_values) * min(p_values)))


def test_holm_is_the_textbook_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
