"""The order after a second reading, as a pure function."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_service.recall.fusion import Candidate, Fused
from memory_service.recall.reordering import reordered

scores_of = st.lists(st.floats(0, 1), min_size=1, max_size=40).map(lambda scores: sorted(scores, reverse=True))


def fused(scores: Sequence[float]) -> list[Fused]:
    return [Fused(Candidate(place, {}), score, {"words": score}) for place, score in enumerate(scores)]


@given(scores_of, st.data())
def test_only_those_read_change_places_and_none_leaves_their_range(scores: list[float], data: st.DataObject) -> None:
    first = fused(scores)
    finite = st.floats(allow_nan=False, allow_infinity=False)
    read = data.draw(st.lists(finite, max_size=len(first)))
    again = reordered(first, read)
    assert again == reordered(first, read)
    assert again[len(read) :] == first[len(read) :]
    assert {one.candidate.id for one in again} == set(range(len(first)))
    assert [one.score for one in again] == sorted((one.score for one in again), reverse=True)
    for one in again:
        told = sum(one.boosts.values())
        assert told == pytest.approx(one.score, abs=2e-6)
        assert min(scores) <= one.score <= max(scores)


@given(scores_of, st.data())
def test_a_model_of_the_same_opinion_changes_no_place(scores: list[float], data: st.DataObject) -> None:
    read = sorted(data.draw(st.lists(st.floats(-20, 20), min_size=len(scores), max_size=len(scores))), reverse=True)
    assert [one.candidate.id for one in reordered(fused(scores), read)] == list(range(len(scores)))


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=20), st.sampled_from([0.25, 2.0, 64.0]))
def test_the_unit_of_a_models_scores_does_not_matter(read: list[int], factor: float) -> None:
    first = fused([1 - place / 32 for place in range(len(read))])
    assert reordered(first, read) == reordered(first, [score * factor for score in read])


def test_half_of_the_score_is_the_second_readings() -> None:
    again = reordered(fused([0.8, 0.6, 0.4, 0.1]), [-9.0, -7.0, -5.0])
    assert [one.candidate.id for one in again] == [0, 1, 2, 3]  # .6 each: of equals whoever was first
    assert [round(one.score, 6) for one in again] == [0.6, 0.6, 0.6, 0.1]
    assert again[0].boosts == {"words": 0.8, "rerank": -0.2}
    assert again[2].boosts == {"words": 0.4, "rerank": 0.2}
    assert "rerank" not in again[3].boosts


@pytest.mark.parametrize("read", [[], [3.0], [3.0, 3.0, 3.0], [5e-324, 0.0]])
def test_no_opinion_changes_nothing(read: list[float]) -> None:
    assert reordered(fused([0.8, 0.6, 0.4]), read) == fused([0.8, 0.6, 0.4])
