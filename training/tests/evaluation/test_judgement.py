"""The verdict on drawn numbers: who is compared with whom, what is inconclusive, and what would tell."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from persona_training.evaluation.battery import Battery
from persona_training.evaluation.bootstrap import TAIL
from persona_training.evaluation.comparison import Draws, allowed_difference, noise, told_by_chance, trials
from persona_training.evaluation.exam import Exam
from persona_training.evaluation.judgement import Finding, judge, sentence, weigh
from persona_training.evaluation.measuring import Measured
from persona_training.evaluation.metrics import METRICS, Metric, Over
from persona_training.evaluation.transcript import Transcript

BY_NAME = {metric.name: metric for metric in METRICS}
RATE = replace(BY_NAME["marker_rate"], margin=0.15)
HIGHER = replace(RATE, direction="higher", margin=0.15)
DRAWS = Draws(7, TAIL, 2000)

Values = NDArray[np.float64]


def shares(level: float, probes: int = 80, samples: int = 4, seed: int = 1) -> Values:
    """Exactly `level` of all replies, the same share in every probe; needs level x samples to be whole."""
    row = np.arange(samples) < round(level * samples)
    rng = np.random.default_rng(seed)
    return np.array([rng.permutation(row) for _ in range(probes)], dtype=np.float64)


def found(metric: Metric, **values: Values) -> Finding:
    (finding,), missing = weigh([Measured(metric, values)], 7, TAIL)
    assert missing == []
    return finding


def opponents(metric: Metric, *voices: str) -> list[str]:
    values = {voice: shares(0.5) for voice in ("candidate", *voices)}
    return [trial.opponent for trial in trials(Measured(metric, values), DRAWS)]


@pytest.mark.parametrize(
    ("metric", "voices", "expected"),
    [
        (RATE, ("reference", "golden", "floor"), ["reference", "golden"]),
        (RATE, ("golden", "floor"), ["golden"]),
        (RATE, ("floor",), ["floor"]),
        (BY_NAME["marker_count"], ("floor",), ["alone"]),
        (RATE, (), ["alone"]),
        (replace(RATE, also_floor=True, against_floor="hold"), ("reference", "floor"), ["reference", "floor"]),
    ],
)
def test_who_is_compared_with_whom(metric: Metric, voices: tuple[str, ...], expected: list[str]) -> None:
    assert opponents(metric, *voices) == expected


@pytest.mark.parametrize(
    ("metric", "level", "expected"),
    [
        (HIGHER, 0.7, (-0.15, math.inf)),
        (replace(HIGHER, direction="lower"), 0.7, (-math.inf, 0.15)),
        (replace(HIGHER, direction="band", acceptable=(0.2, 0.9)), 0.7, (-0.15, 0.2)),
        (replace(HIGHER, direction="band", acceptable=(0.2, 0.9), symmetric=True), 0.7, (-0.15, 0.15)),
        (replace(HIGHER, direction="band", acceptable=(0.2, 0.9)), 0.1, (-0.05, 0.8)),  # a bad reference excuses nobody
    ],
)
def test_what_is_allowed(metric: Metric, level: float, expected: tuple[float, float]) -> None:
    assert allowed_difference(metric, level) == pytest.approx(expected)


def test_one_lost_comparison_is_enough_to_fail_and_all_must_pass() -> None:
    faded = found(HIGHER, candidate=shares(0.25), reference=shares(0.25, seed=2), golden=shares(0.75, seed=3))
    assert [one.verdict for one in faded.comparisons] == ["pass", "fail"]
    assert faded.verdict == "fail"
    well = found(HIGHER, candidate=shares(0.75), reference=shares(0.75, seed=2), golden=shares(0.75, seed=3))
    assert well.verdict == "pass"
    assert (well.more_samples, well.clusters_needed) == (None, None)


def test_general_texts_are_held_against_the_base_model_whatever_the_reference_does() -> None:
    metric = BY_NAME["general_loss"]
    level = np.linspace(3.0, 4.0, 26)[:, None]
    finding = found(metric, candidate=level + 1, reference=level + 1, floor=level)
    assert [(one.opponent, one.verdict) for one in finding.comparisons] == [("reference", "pass"), ("floor", "fail")]
    assert finding.verdict == "fail"


def few(loss: float, probes: int, samples: int, within: float, between: float) -> Finding:
    rng = np.random.default_rng(3)
    levels = rng.normal(scale=5.0, size=(probes, 1))
    change = rng.normal(scale=between, size=(probes, 1))
    change += -change.mean() - loss
    drift = [rng.normal(scale=within, size=(probes, samples)) for _ in range(2)]
    drift = [rows - rows.mean() for rows in drift]
    return found(HIGHER, candidate=levels + change + drift[0], reference=levels + drift[1])


def test_noise_of_sampling_asks_for_samples() -> None:
    finding = few(0.0, probes=80, samples=2, within=0.9, between=0.0)
    assert finding.verdict == "inconclusive"
    assert finding.more_samples is not None
    assert "would tell" in sentence(finding)
    settled = few(0.0, probes=80, samples=2 + finding.more_samples, within=0.9, between=0.0)
    assert settled.verdict == "pass"
    assert finding.more_samples <= 6  # and it does not ask for ten times as many as it takes


def test_probes_that_differ_ask_for_probes() -> None:
    finding = few(0.02, probes=40, samples=4, within=0.02, between=0.8)
    assert finding.verdict == "inconclusive"
    assert finding.more_samples is None
    assert finding.clusters_needed is not None
    assert 40 < finding.clusters_needed < 400
    assert f"No number of samples would tell: it needs about {finding.clusters_needed} probes" in sentence(finding)
    assert few(0.02, round(1.3 * finding.clusters_needed), 4, within=0.02, between=0.8).verdict == "pass"


@pytest.mark.parametrize(
    ("over", "samples", "advice"),
    [
        ("probes", 4, "No number of samples would tell: it needs about"),
        ("dialogues", 1, "Perhaps more samples of each would tell, too."),
        ("texts", 1, "texts, and there are 40."),
    ],
)
def test_advice_claims_of_samples_only_what_samples_have_shown(over: Over, samples: int, advice: str) -> None:
    metric = replace(HIGHER, over=over)
    rng = np.random.default_rng(5)
    apart = rng.normal(scale=0.6, size=(40, 1))
    change = np.repeat(apart - apart.mean() - 0.05, samples, axis=1)
    finding = found(metric, candidate=change, reference=np.zeros_like(change))
    assert finding.verdict == "inconclusive"
    assert advice in finding.why
    assert ("sample" in finding.why) == (over != "texts")


def test_the_comparison_that_needs_most_probes_is_the_one_told() -> None:
    """The reference was asked for everything, the golden version for less; both leave the matter open."""
    level = np.zeros((60, 1))
    apart = np.resize([1.0, -1.0], (60, 1))
    golden = np.where(np.arange(60)[:, None] < 30, 1.2 * apart, np.nan)
    finding = found(HIGHER, candidate=level, reference=0.8 * apart, golden=golden)
    of = {one.opponent: (one.clusters, one.clusters_needed) for one in finding.comparisons}
    assert of["reference"][0] == 60
    assert of["golden"][0] == 30
    assert finding.clusters_needed == of["golden"][1] > (of["reference"][1] or 0)
    assert "and there are 30." in finding.why


def test_one_sample_cannot_tell_noise_from_probes() -> None:
    finding = few(0.0, probes=40, samples=1, within=0.9, between=0.0)
    assert finding.verdict == "inconclusive"
    assert finding.more_samples is None
    assert finding.clusters_needed is not None
    assert finding.noise is None


def test_a_metric_noisier_than_its_margin_is_not_passed_by_luck() -> None:
    """The candidate is far better than the reference, but nobody knows what the reference is."""
    rng = np.random.default_rng(4)
    wild = rng.normal(scale=1.5, size=(80, 4))
    finding = found(HIGHER, candidate=np.full((80, 4), 3.0), reference=wild)
    assert [one.verdict for one in finding.comparisons] == ["pass"]
    assert finding.noise is not None
    assert finding.noise > HIGHER.margin
    assert finding.verdict == "inconclusive"
    assert "Two hearings of one and the same voice" in sentence(finding)


def test_noise_is_what_a_second_hearing_would_show() -> None:
    """Half against half, scaled up, is close to the whole against another whole."""
    rng = np.random.default_rng(5)
    levels = rng.normal(size=(1000, 1))
    first, second = (levels + rng.normal(size=(1000, 4)) for _ in range(2))
    own = noise(first, HIGHER, DRAWS)
    both = trials(Measured(HIGHER, {"candidate": first, "reference": second}), DRAWS)[0].estimated
    assert own is not None
    assert own == pytest.approx((both.high - both.low) / 2, rel=0.15)


def test_too_few_probes_pass_nothing_but_may_fail() -> None:
    good = found(HIGHER, candidate=shares(0.75, probes=5), reference=shares(0.75, probes=5, seed=2))
    assert good.verdict == "inconclusive"
    assert "5 probes are too few" in sentence(good)
    for probes, verdict in ((4, "inconclusive"), (5, "fail")):
        bad = found(HIGHER, candidate=shares(0.0, probes=probes), reference=shares(1.0, probes=probes))
        assert bad.verdict == verdict


def sparse(rows: int, at: int = 0, probes: int = 40) -> Values:
    values = np.full((probes, 2), np.nan)
    values[at : at + rows, 0] = 1.0
    return values


def test_what_hardly_any_reply_tells_decides_nothing() -> None:
    """Whether a reply addresses anybody depends on the reply: three that do are no reason to keep a version back."""
    metric = replace(HIGHER, acceptable=(0.85, 1.0))
    assert told_by_chance({"candidate": sparse(3)})
    findings, missing = weigh([Measured(metric, {"candidate": sparse(3), "reference": sparse(3)})], 7, TAIL)
    assert findings == []
    assert missing[0].reason == "Only 3 probes drew a reply that tells, and it takes 6."
    apart = found(metric, candidate=sparse(10), reference=sparse(10, at=8))
    assert [one.opponent for one in apart.comparisons] == ["alone"]
    assert apart.verdict == "pass"


def test_falling_silent_is_no_pass() -> None:
    finding = found(HIGHER, candidate=sparse(0), reference=sparse(30))
    assert finding.verdict == "inconclusive"
    assert "says hardly anything" in sentence(finding)


def test_what_was_not_measured_keeps_its_reason() -> None:
    nothing = np.full((20, 2), np.nan)
    findings, missing = weigh([Measured(HIGHER, {"candidate": nothing}, missing="no dialogue was held")], 7, TAIL)
    assert findings == []
    assert [one.reason for one in missing] == ["no dialogue was held"]


def test_advisory_metrics_have_no_part_in_the_correction() -> None:
    deciding = Measured(HIGHER, {"candidate": shares(0.25), "reference": shares(0.75)})
    shown = [
        Measured(
            replace(HIGHER, name=f"shown {at}", advisory=True), {"candidate": shares(0.5), "reference": shares(0.5)}
        )
        for at in range(30)
    ]
    alone, *_ = weigh([deciding], 7, TAIL)[0]
    among, *_ = weigh([deciding, *shown], 7, TAIL)[0]
    assert alone.comparisons[0].p_adjusted == among.comparisons[0].p_adjusted


def test_even_the_last_of_many_comparisons_can_fail_at_a_split_level() -> None:
    """With the rounds of a single comparison no p could be small enough for 60 comparisons at a quarter of 5 %."""
    lost = [
        Measured(replace(HIGHER, name=f"metric {at}"), {"candidate": shares(0.0), "reference": shares(1.0)})
        for at in range(60)
    ]
    findings, _ = weigh(lost, 7, TAIL / 4)
    assert {finding.verdict for finding in findings} == {"fail"}


def judged(battery: Battery, replies: list[list[str]], **looks: int) -> tuple[str, bool]:
    probes = battery.probes[: len(replies)]
    said = {
        "candidate": Transcript("candidate", replies),
        "reference": Transcript("reference", [[probe.references[0]] for probe in probes]),
    }
    judgement = judge(Exam(battery, probes), said, seed=7, **looks)
    return judgement.verdict, judgement.final


def test_what_a_further_look_may_change_is_not_final(battery: Battery) -> None:
    same = [[probe.references[0]] for probe in battery.probes[:20]]
    mute = [[""], *same[1:]]  # 1 of 20 is above the 2 % that may be empty, 1 of 80 is not
    leak = [["Hola<|im_end|>"], *same[1:]]
    assert judged(battery, mute, look=1, looks=4) == ("fail", False)
    assert judged(battery, mute, look=4, looks=4) == ("fail", True)
    assert judged(battery, leak, look=1, looks=4) == ("fail", True)
    assert judged(battery, [["ok"]] * 20, look=1, looks=4) == ("fail", True)
    assert judged(battery, same[:5], look=2, looks=2) == ("inconclusive", True)


@pytest.mark.parametrize(("look", "looks"), [(0, 1), (2, 1)])
def test_a_look_that_does_not_exist_is_refused(battery: Battery, look: int, looks: int) -> None:
    with pytest.raises(ValueError, match="look"):
        judge(Exam(battery, battery.probes), {"candidate": Transcript("c", [["a"]])}, seed=7, look=look, looks=looks)
