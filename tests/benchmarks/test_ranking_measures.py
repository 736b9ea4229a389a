"""The measures against values worked out by hand, and what must hold of any ranking."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ranking_measures import MEASURES, PLACES, Sample, by_category, judge, redrawn_means, summary

THIRD, FIFTH = 1 / math.log2(4), 1 / math.log2(6)


def turns(*evidence: int, length: int = 20) -> list[str]:
    """A ranking of `length` with evidence at these places."""
    return [f"e{rank}" if rank in evidence else f"other{rank}" for rank in range(1, length + 1)]


@pytest.mark.parametrize(
    ("found", "evidence", "expected"),
    [
        (turns(1), {"e1"}, {"recall@5": 1, "any@5": 1, "all@5": 1, "mrr@20": 1, "ndcg@10": 1}),
        (turns(3), {"e3"}, {"recall@5": 1, "mrr@20": 1 / 3, "ndcg@10": THIRD}),
        (turns(3, 5), {"e3", "e5"}, {"recall@5": 1, "all@5": 1, "ndcg@10": (THIRD + FIFTH) / (1 + 1 / math.log2(3))}),
        (turns(3, 7), {"e3", "e7"}, {"recall@5": 0.5, "any@5": 1, "all@5": 0, "recall@10": 1, "all@10": 1}),
        (turns(12), {"e12"}, {"recall@10": 0, "any@10": 0, "recall@20": 1, "mrr@20": 1 / 12, "ndcg@10": 0}),
        (turns(25, length=30), {"e25"}, dict.fromkeys(MEASURES, 0)),
        ([], {"e1"}, dict.fromkeys(MEASURES, 0)),
        # A turn that comes again takes no second place: e3 is third here, and b would be sixth otherwise.
        (["a", "a", "a", "c", "e3", "a", "b"], {"e3", "b"}, {"recall@5": 1, "mrr@20": 1 / 3}),
        # Twelve pieces of evidence, ten of them in the first ten places: the best any first ten can do.
        (turns(*range(1, 11)), {f"e{n}" for n in range(1, 13)}, {"recall@10": 10 / 12, "all@10": 0, "ndcg@10": 1}),
    ],
)
def test_by_hand(found: list[str], evidence: set[str], expected: dict[str, float]) -> None:
    judged = judge(found, evidence)
    assert {name: judged[name] for name in expected} == pytest.approx(expected)


def test_no_evidence_is_refused() -> None:
    with pytest.raises(ValueError, match="without evidence"):
        judge(["a"], set())


IDS = st.integers(0, 40)


@given(found=st.lists(IDS), evidence=st.frozensets(IDS, min_size=1))
def test_bounds_and_order(found: list[int], evidence: frozenset[int]) -> None:
    judged = judge(found, evidence)
    assert set(judged) == set(MEASURES)
    assert all(0 <= value <= 1 + 1e-12 for value in judged.values())
    for place in PLACES:
        assert judged[f"any@{place}"] >= judged[f"recall@{place}"] >= judged[f"all@{place}"]
    for name in ("recall", "any", "all"):
        assert judged[f"{name}@5"] <= judged[f"{name}@10"] <= judged[f"{name}@20"]
    assert (judged["mrr@20"] > 0) == (judged["any@20"] == 1)


@given(found=st.lists(IDS, unique=True, min_size=2), evidence=st.frozensets(IDS, min_size=1), data=st.data())
def test_evidence_moved_up_never_does_worse(found: list[int], evidence: frozenset[int], data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(found) - 1))
    above, below = found[place - 1], found[place]
    if above in evidence or below not in evidence:
        return
    better = [*found[: place - 1], below, above, *found[place + 1 :]]
    before, after = judge(found, evidence), judge(better, evidence)
    assert all(after[name] >= before[name] for name in MEASURES)


def sample(*by_conversation: list[float]) -> Sample:
    """Questions whose every measure is the number given, grouped by conversation."""
    judged = [dict.fromkeys(MEASURES, value) for values in by_conversation for value in values]
    names = [f"c{number}" for number, values in enumerate(by_conversation) for _ in values]
    return Sample.of(judged, names, ["even" if row % 2 == 0 else "odd" for row in range(len(judged))])


VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=8)


@given(st.lists(VALUES, min_size=1, max_size=4))
def test_redrawn_means_stay_within_the_values(groups: list[list[float]]) -> None:
    flat = [value for values in groups for value in values]
    for both in (False, True):
        means = redrawn_means(sample(*groups), conversations_too=both, times=20)
        assert means.shape == (20, len(MEASURES))
        assert means.min() >= min(flat) - 1e-9
        assert means.max() <= max(flat) + 1e-9


def test_equal_questions_leave_no_doubt() -> None:
    told = summary(sample([0.25, 0.25], [0.25]))
    assert told["recall@10"] == {"mean": 0.25, "interval": [0.25, 0.25], "interval_conversations": [0.25, 0.25]}


def test_of_one_conversation_nothing_is_said_about_others() -> None:
    assert summary(sample([0.0, 1.0]))["recall@10"]["interval_conversations"] is None


def test_conversations_that_differ_are_doubted_only_when_they_are_redrawn() -> None:
    told = summary(sample([0.0] * 10, [1.0] * 10))["recall@10"]
    assert told["interval"] == [0.5, 0.5]
    assert told["interval_conversations"] == [0.0, 1.0]


def test_the_interval_is_as_wide_as_theory_says() -> None:
    """400 questions, half of them answered: the standard error is 0.025, and 95 % lie within 1.96 of it."""
    low, high = summary(sample([0.0, 1.0] * 200))["recall@10"]["interval"]
    assert (low, high) == (pytest.approx(0.451, abs=0.008), pytest.approx(0.549, abs=0.008))


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    one = sample([0.0, 0.3, 1.0, 0.8], [0.1, 0.9])
    first, again = (redrawn_means(one, conversations_too=True) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, redrawn_means(one, conversations_too=True, seed=1))


def test_a_difference_is_paired_by_question() -> None:
    """Each question gained a tenth: the difference is certain, although both averages are not."""
    before, after = sample([0.0, 0.5], [0.9, 0.3]), sample([0.1, 0.6], [1.0, 0.4])
    gained = summary(after.minus(before))["recall@5"]
    assert gained == {"mean": 0.1, "interval": [0.1, 0.1], "interval_conversations": [0.1, 0.1]}
    with pytest.raises(ValueError, match="different questions"):
        after.minus(sample([0.1, 0.6, 1.0, 0.4]))


def test_every_category_is_summed_up() -> None:
    told = by_category(sample([0.0, 1.0, 0.0, 1.0, 0.0]))
    assert {name: (one["questions"], one["mrr@20"]["mean"]) for name, one in told.items()} == {
        "all": (5, 0.4),
        "even": (3, 0.0),
        "odd": (2, 1.0),
    }
