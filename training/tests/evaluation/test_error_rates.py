"""How often the statistics err, on drawn numbers whose truth is known: what is lost is caught, and chance is not punished."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from persona_training.evaluation.bootstrap import TAIL, estimate_difference
from persona_training.evaluation.judgement import weigh
from persona_training.evaluation.measuring import Measured
from persona_training.evaluation.metrics import METRICS

MARKER_RATE = replace(next(metric for metric in METRICS if metric.name == "marker_rate"), margin=0.15)
REPEATS = 200


def replies_with_marker(
    rng: np.random.Generator, levels: NDArray[np.float64], loss: float, samples: int
) -> NDArray[np.float64]:
    return rng.binomial(1, np.clip(levels - loss, 0, 1)[:, None], size=(len(levels), samples)).astype(np.float64)


def caught(probes: int, samples: int, now: float) -> float:
    """Share of repeats in which a fall of the marker rate from 0.70 to `now` is significant; probes differ in their rate."""
    rng = np.random.default_rng(probes * 100 + samples)
    alarms = 0
    for _ in range(REPEATS):
        levels = rng.beta(3.5, 1.5, size=probes)
        before = replies_with_marker(rng, levels, 0.0, samples)
        after = rng.binomial(1, (levels * now / 0.7)[:, None], size=(probes, samples)).astype(np.float64)
        found = estimate_difference(after, before, "mean", 7)
        assert found is not None
        alarms += found.p_outside((0.0, np.inf)) < TAIL
    return alarms / REPEATS


@pytest.mark.parametrize(
    ("probes", "samples", "now", "expected"),
    [
        (80, 4, 0.60, 0.89),
        (80, 4, 0.50, 1.00),
        (80, 1, 0.60, 0.45),
        (40, 4, 0.60, 0.69),
        (20, 4, 0.50, 0.88),
        (20, 1, 0.60, 0.14),
    ],
)
def test_a_fall_of_the_marker_rate_is_caught_as_often_as_planned(
    probes: int, samples: int, now: float, expected: float
) -> None:
    """The planning table: 80 probes x 4 samples for the weekly gate. Three standard errors of 200 repeats are at most 0.11."""
    assert caught(probes, samples, now) == pytest.approx(expected, abs=0.11)


@pytest.mark.parametrize(("probes", "samples"), [(80, 4), (80, 1), (20, 4)])
def test_no_fall_is_rarely_called_one(probes: int, samples: int) -> None:
    """5 % nominal; the percentile interval of few clusters is a little narrow, so 8 % are planned for. 200 repeats: +- 3 %."""
    assert caught(probes, samples, 0.70) <= 0.10


def many(rng: np.random.Generator, loss: float, metrics: int) -> list[Measured]:
    levels = rng.beta(3.5, 1.5, size=80) * 0.85 + 0.15  # so that the whole loss fits below every level
    return [
        Measured(
            replace(MARKER_RATE, name=f"metric {at}"),
            {
                "candidate": replies_with_marker(rng, levels, loss, 4),
                "reference": replies_with_marker(rng, levels, 0.0, 4),
            },
        )
        for at in range(metrics)
    ]


def test_a_dozen_metrics_together_fail_a_blameless_voice_no_more_often_than_one() -> None:
    """The true loss is exactly the margin in every metric: the hardest case. Without Holm 12 metrics would alarm in 46 %."""
    rng = np.random.default_rng(21)
    judged = [weigh(many(rng, MARKER_RATE.margin, 12), 7, TAIL)[0] for _ in range(60)]
    alarms = sum(any(finding.verdict == "fail" for finding in findings) for findings in judged)
    assert alarms / 60 <= 0.13  # 5 % nominal, and three standard errors of 60 repeats
    passes = sum(all(finding.verdict == "pass" for finding in findings) for findings in judged)
    assert passes == 0  # all of them must hold, and each does so in 5 %


def test_the_same_voice_passes_and_twice_the_margin_fails() -> None:
    rng = np.random.default_rng(22)
    same = [weigh(many(rng, 0.0, 6), 7, TAIL)[0] for _ in range(25)]
    lost = [weigh(many(rng, 2 * MARKER_RATE.margin, 6), 7, TAIL)[0] for _ in range(25)]
    assert sum(finding.verdict == "pass" for findings in same for finding in findings) >= 0.97 * 25 * 6
    assert not any(finding.verdict == "fail" for findings in same for finding in findings)
    assert sum(finding.verdict == "fail" for findings in lost for finding in findings) >= 0.93 * 25 * 6


def test_looking_four_times_does_not_multiply_the_false_passes() -> None:
    """The true loss is exactly the margin. A pass at any of four looks is wrong; each look has a quarter of the 5 %."""
    rng = np.random.default_rng(23)
    wrong = 0
    for _ in range(100):
        (whole,) = many(rng, MARKER_RATE.margin, 1)
        for look in range(1, 5):
            seen = replace(whole, values={voice: values[:, :look] for voice, values in whole.values.items()})
            if weigh([seen], 7, TAIL / 4)[0][0].verdict == "pass":
                wrong += 1
                break
    assert wrong <= 11  # 5 % nominal, and three standard errors of 100 repeats
