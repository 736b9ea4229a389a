"""The common order of several arms, by its properties."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_service.recall.fusion import DENSE, LEXICAL, WEIGHTS, ArmScore, Candidate, Range, fuse

RANGES = {DENSE: Range(-1.0, 1.0), LEXICAL: Range(0.0, 10.0)}

_dense = st.none() | st.floats(-1, 1).map(lambda score: ArmScore(1, score))
_lexical = st.none() | st.floats(0, 10).map(lambda score: ArmScore(1, score))
_scores = st.tuples(_dense, _lexical).map(
    lambda both: {arm: score for arm, score in zip((DENSE, LEXICAL), both, strict=True) if score is not None}
)
candidates = st.lists(st.tuples(st.integers(1, 10_000), _scores), unique_by=lambda one: one[0], max_size=12).map(
    lambda some: [Candidate(UUID(int=number), scores) for number, scores in some]
)


@given(candidates)
def test_every_candidate_an_arm_found_is_placed_once_between_nought_and_one(some: list[Candidate]) -> None:
    fused = fuse(some, RANGES)
    assert sorted(one.candidate.id for one in fused) == sorted(one.id for one in some if one.scores)
    assert all(0 <= one.score <= 1 for one in fused)


@given(candidates, st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_the_order_given(some: list[Candidate], random: object) -> None:
    shuffled = list(some)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fuse(shuffled, RANGES) == fuse(some, RANGES)


@given(candidates)
def test_scores_fall_and_the_newer_of_equals_comes_first(some: list[Candidate]) -> None:
    keys = [(one.score, one.candidate.id) for one in fuse(some, RANGES)]
    assert keys == sorted(keys, reverse=True)


@given(candidates, st.sampled_from([DENSE, LEXICAL]), st.floats(0, 2))
def test_a_better_score_never_costs_a_place(some: list[Candidate], arm: str, more: float) -> None:
    chosen = next((one for one in some if arm in one.scores), None)
    if chosen is None:
        return
    raised = Candidate(chosen.id, {**chosen.scores, arm: ArmScore(1, chosen.scores[arm].score + more)})
    before = [one.candidate.id for one in fuse(some, RANGES)].index(chosen.id)
    after = [one.candidate.id for one in fuse([raised if one is chosen else one for one in some], RANGES)].index(
        chosen.id
    )
    assert after <= before


@given(candidates, st.sampled_from([DENSE, LEXICAL]))
def test_a_single_arm_orders_by_its_own_scores(some: list[Candidate], arm: str) -> None:
    fused = fuse(some, {arm: RANGES[arm]})
    assert all(arm in one.candidate.scores for one in fused)
    stretched = [RANGES[arm].stretch(one.candidate.scores[arm].score) for one in fused]
    assert [one.score for one in fused] == pytest.approx(stretched)


@pytest.mark.parametrize(
    ("low", "high", "score", "stretched"),
    [(0, 4, 1, 0.25), (0, 4, 4, 1), (-1, 1, 0, 0.5), (2, 2, 2, 1), (0, 4, -3, 0), (0, 4, 9, 1)],
)
def test_scores_are_stretched_between_worst_and_best(low: float, high: float, score: float, stretched: float) -> None:
    assert Range(low, high).stretch(score) == stretched


def test_no_arm_no_order() -> None:
    assert fuse([Candidate(UUID(int=1), {DENSE: ArmScore(1, 0.5)})], {}) == []
    assert fuse([], RANGES) == []
    assert sum(WEIGHTS.values()) == pytest.approx(1)
