"""The made-up talk is the same for the same seed, in order, and its vectors lie where they should."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_talk import EXCHANGES_A_SESSION, Talk, around


def test_the_same_seed_says_the_same() -> None:
    def said(seed: int) -> tuple[object, ...]:
        talk = Talk(seed)
        subjects = talk.subjects(5)
        return subjects, list(talk.exchanges(30, subjects)), talk.questions(5, subjects)

    assert said(1) == said(1)
    assert said(1) != said(2)


def test_exchanges_come_in_order_session_after_session() -> None:
    talk = Talk(3)
    exchanges = list(talk.exchanges(2 * EXCHANGES_A_SESSION + 1, talk.subjects(4)))
    assert all(one.when < other.when for one, other in itertools.pairwise(exchanges))
    assert [one.session for one in exchanges[::EXCHANGES_A_SESSION]] == [0, 1, 2]
    assert {one.centre for one in exchanges} <= set(range(4))
    assert all("\n" not in one.asked + one.replied for one in exchanges)


def test_no_question_comes_twice() -> None:
    talk = Talk(4)
    questions = talk.questions(200, talk.subjects(2))
    assert len(set(questions)) == 200


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20), st.integers(0, 9))
def test_vectors_are_of_length_one_and_nearest_to_their_centre(chosen: list[int], seed: int) -> None:
    centres = np.eye(5, 64, dtype=np.float32)
    vectors = around(centres, chosen, seed)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert list((vectors @ centres.T).argmax(axis=1)) == chosen
    assert (vectors * centres[chosen]).sum(axis=1) == pytest.approx(0.82, abs=0.15)
