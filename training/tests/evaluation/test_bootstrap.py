"""Intervals cover what they should, by whole prompts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from persona_training.evaluation.bootstrap import estimate, estimate_difference, per_prompt

Values = NDArray[np.float64]


def test_samples_are_averaged_within_their_prompt() -> None:
    values = np.array([[1.0, 0.0], [math.nan, 1.0], [math.nan, math.nan]])
    assert per_prompt(values)[:2].tolist() == [0.5, 1.0]
    assert math.isnan(per_prompt(values)[2])


def test_the_mean_and_the_median() -> None:
    values = np.array([[1.0], [2.0], [9.0]])
    mean, median = estimate(values, "mean", 7), estimate(values, "median", 7)
    assert mean is not None
    assert median is not None
    assert (mean.value, median.value, mean.prompts) == (4.0, 2.0, 3)


def test_nothing_to_measure_is_none() -> None:
    nothing = np.full((3, 2), math.nan)
    assert estimate(nothing, "mean", 7) is None
    assert estimate_difference(nothing, np.ones((3, 2)), "mean", 7) is None


def test_only_prompts_known_on_both_sides_are_compared() -> None:
    ours = np.array([[1.0], [1.0], [math.nan]])
    theirs = np.array([[0.0], [math.nan], [0.0]])
    found = estimate_difference(ours, theirs, "mean", 7)
    assert found is not None
    assert (found.value, found.prompts) == (1.0, 1)


def test_different_prompts_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="same prompts"):
        estimate_difference(np.ones((3, 1)), np.ones((4, 1)), "mean", 7)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=30), st.floats(-3, 3))
def test_a_constant_shift_has_no_uncertainty(levels: list[float], shift: float) -> None:
    """Prompts may differ as they like: paired by prompt, only the change of each prompt counts."""
    base = np.array(levels)[:, None]
    found = estimate_difference(base + shift, base, "mean", 7)
    assert found is not None
    assert found.low == pytest.approx(shift, abs=1e-9)
    assert found.high == pytest.approx(shift, abs=1e-9)


def test_more_samples_of_one_prompt_do_not_narrow_the_interval() -> None:
    """The prompt is the unit: copying each prompt's samples adds no knowledge."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(40, 1))
    once, many = estimate(values, "mean", 7), estimate(np.repeat(values, 10, axis=1), "mean", 7)
    assert once is not None
    assert many is not None
    assert many.high - many.low == pytest.approx(once.high - once.low)


def test_the_interval_covers_the_truth_nine_times_in_ten() -> None:
    """300 experiments of 40 prompts; 90 % nominal, 3 standard errors of slack, and not needlessly wide."""
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
