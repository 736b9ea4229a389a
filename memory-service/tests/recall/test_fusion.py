"""One order from what the arms found: pure, deterministic, and each opinion pulls the way it says."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_service.recall.fusion import DENSE, LEXICAL, PRESETS, ArmScore, Candidate, Weights, age_days, fuse

CHAT = PRESETS["chat"]
PLAIN = Candidate(1, {DENSE: ArmScore(1, 0.4)}, cosine=0.4, best=0.4, previous=0.4, share=0.2, topic=0.5, length=20)


def order(
    *candidates: Candidate, weights: Weights = CHAT, voting: frozenset[str] = frozenset({DENSE, LEXICAL})
) -> list[int]:
    return [one.candidate.id for one in fuse(candidates, weights, voting)]


@pytest.mark.parametrize(
    "better",
    [
        {"best": 0.6},
        {"previous": 0.6},
        {"share": 0.5},
        {"topic": 0.9},
        {"spoken": True},
        {"date": 0.7},
        {"tells_when": True},
        {"length": 60},
        {"typed": True},
        {"importance": 5},
    ],
)
def test_each_opinion_lifts(better: dict[str, object]) -> None:
    assert order(PLAIN, replace(PLAIN, id=2, **better)) == [2, 1]  # type: ignore[arg-type]


@pytest.mark.parametrize("worse", [{"asks": True}, {"confidence": 0.3}, {"age_days": 300.0}, {"importance": 1}])
def test_each_doubt_lowers(worse: dict[str, object]) -> None:
    assert order(PLAIN, replace(PLAIN, id=2, **worse)) == [1, 2]  # type: ignore[arg-type]


def test_equal_ones_stand_newest_first() -> None:
    assert order(PLAIN, replace(PLAIN, id=3), replace(PLAIN, id=2)) == [3, 2, 1]


def test_a_document_without_a_vector_counts_as_an_average_one() -> None:
    near, far = replace(PLAIN, id=2, best=0.8, previous=0.8), replace(PLAIN, id=3, best=0.0, previous=0.0)
    unknown = replace(PLAIN, id=4, cosine=None, best=None, previous=None)
    assert order(near, far, unknown) == [2, 4, 3]


def test_an_arm_that_was_not_asked_has_no_say() -> None:
    by_words, by_meaning = replace(PLAIN, id=2, share=0.9), replace(PLAIN, id=3, best=0.9)
    assert order(by_words, by_meaning, voting=frozenset({DENSE})) == [3, 2]
    assert order(by_words, by_meaning, voting=frozenset({LEXICAL})) == [2, 3]


def test_presets_prefer_what_they_are_for() -> None:
    fact, dated = replace(PLAIN, id=2, typed=True), replace(PLAIN, id=3, date=0.6)
    assert order(fact, dated) == [3, 2]
    assert order(fact, dated, weights=PRESETS["facts"]) == [2, 3]
    assert order(fact, dated, weights=PRESETS["timeline"]) == [3, 2]


CANDIDATES = st.lists(
    st.builds(
        Candidate,
        id=st.integers(1, 10**6),
        scores=st.just({}),
        cosine=st.none(),
        best=st.none() | st.floats(-1, 1),
        previous=st.none() | st.floats(-1, 1),
        share=st.floats(0, 1),
        topic=st.floats(0, 1),
        spoken=st.booleans(),
        date=st.floats(0, 1),
        tells_when=st.booleans(),
        asks=st.booleans(),
        length=st.integers(0, 10**6),
        typed=st.booleans(),
        importance=st.none() | st.integers(1, 5),
        confidence=st.none() | st.floats(0, 1),
        age_days=st.floats(0, 10**5),
    ),
    unique_by=lambda one: one.id,
    max_size=30,
)


@given(CANDIDATES, st.sampled_from(sorted(PRESETS)), st.randoms())
def test_the_order_is_one_whatever_order_they_come_in(candidates: list[Candidate], preset: str, chance: object) -> None:
    weights = PRESETS[preset]  # type: ignore[index]
    fused = fuse(candidates, weights)
    assert {one.candidate.id for one in fused} == {one.id for one in candidates}
    assert all(0 <= one.score <= 1 for one in fused)
    assert [one.score for one in fused] == sorted((one.score for one in fused), reverse=True)
    shuffled = list(candidates)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fuse(shuffled, weights) == fused


@given(CANDIDATES)
def test_the_parts_make_up_the_score(candidates: list[Candidate]) -> None:
    for one in fuse(candidates, CHAT):
        assert one.score == pytest.approx(min(1.0, max(0.0, sum(one.boosts.values()))), abs=1e-4)


def test_the_future_is_not_young() -> None:
    from datetime import UTC, datetime, timedelta

    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert age_days(now + timedelta(days=3), now) == 0
    assert age_days(now - timedelta(hours=36), now) == 1.5
