"""Slopes, late levels, losses and margins of similarity: numbers with known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona_training.evaluation.drift import late_level, slope_per_turn
from persona_training.evaluation.perplexity import losses
from persona_training.evaluation.similarity import margin

FINITE = st.floats(-100, 100)


@given(FINITE, FINITE, st.integers(2, 30))
def test_a_straight_line_has_its_slope(start: float, slope: float, turns: int) -> None:
    assert slope_per_turn(start + slope * np.arange(turns)) == pytest.approx(slope, abs=1e-9)


@given(st.lists(FINITE, min_size=3, max_size=20))
def test_the_slope_is_that_of_least_squares(values: list[float]) -> None:
    fitted = np.polynomial.polynomial.polyfit(np.arange(len(values)), values, 1)[1]
    assert slope_per_turn(np.array(values)) == pytest.approx(fitted, abs=1e-6)


def test_turns_without_a_value_are_left_out() -> None:
    assert slope_per_turn(np.array([1.0, math.nan, 3.0, math.nan, 5.0])) == pytest.approx(1.0)
    assert math.isnan(slope_per_turn(np.array([math.nan, 4.0])))
    assert math.isnan(slope_per_turn(np.array([4.0])))


def test_late_is_the_last_third() -> None:
    assert late_level(np.arange(1.0, 13.0)) == np.mean([9, 10, 11, 12])
    assert late_level(np.array([1.0, 5.0])) == 5.0
    assert late_level(np.array([0.0, 0.0, math.nan, 0.0, math.nan, 3.0])) == 3.0
    assert math.isnan(late_level(np.array([1.0, 1.0, math.nan])))


def test_losses_are_a_column() -> None:
    assert losses([2.0, 3.0], 2).tolist() == [[2.0], [3.0]]
    assert np.isnan(losses(None, 3)).all()
    assert losses(None, 3).shape == (3, 1)
    with pytest.raises(ValueError, match="another battery"):
        losses([1.0], 2)


def test_what_is_shared_with_the_neutral_reply_does_not_count() -> None:
    topic, hers, theirs = np.eye(3, dtype=np.float32)
    unit = float(1 / np.sqrt(2))
    in_voice, neutral = unit * (topic + hers), unit * (topic + theirs)
    assert margin(in_voice, np.array([in_voice]), np.array([neutral])) == pytest.approx(0.5)
    assert margin(neutral, np.array([in_voice]), np.array([neutral])) == pytest.approx(-0.5)
    assert margin(topic, np.array([in_voice]), np.array([neutral])) == pytest.approx(0.0, abs=1e-6)
    assert margin(in_voice, np.array([in_voice, hers]), np.array([theirs, neutral])) == pytest.approx(
        (1 + unit) / 2 - 0.5
    )
    assert math.isnan(margin(topic, np.empty((0, 3), np.float32), np.array([neutral])))
