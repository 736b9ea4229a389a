"""Self-BLEU and topics on replies whose answer can be worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona_training.evaluation.diversity import OTHERS, on_one_topic, self_bleu

WORDS = st.sampled_from(["luna", "mar", "sal", "pan", "sol", "voz", "red", "pez"])
TEXT = st.lists(WORDS, max_size=9).map(" ".join)


def test_copies_are_alike_and_strangers_are_not() -> None:
    copies = self_bleu([["uno dos tres cuatro cinco"], ["uno dos tres cuatro cinco"], ["algo del todo distinto aquí"]])
    assert copies == [[pytest.approx(1.0)], [pytest.approx(1.0)], [0.0]]


def test_bleu_by_hand() -> None:
    """Four words against four: hits 3/4, pairs (2+1)/(3+1), triples (1+1)/(2+1), the run of four (0+1)/(1+1)."""
    first, _ = self_bleu([["uno dos tres cuatro"], ["uno dos tres cinco"]])
    assert first == [pytest.approx((3 / 4 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)]


def test_a_short_copy_of_a_long_reply_is_no_copy() -> None:
    """Every word and pair is hit; the brevity penalty is e to 1 - 4/2."""
    short, _ = self_bleu([["uno dos"], ["uno dos tres cuatro"]])
    assert short == [pytest.approx(math.exp(1 - 4 / 2))]


def test_stage_directions_do_not_make_replies_alike() -> None:
    rows = self_bleu([["*pone los ojos en blanco* Hoy llueve"], ["*pone los ojos en blanco* Mañana nieva"]])
    assert rows == [[0.0], [0.0]]
    assert math.isnan(self_bleu([["*suspiro*"], ["hola"]])[0][0])


def test_the_same_prompt_is_no_reference() -> None:
    assert self_bleu([["hola qué tal", "hola qué tal"], ["nada en común", "cosa muy otra"]])[0] == [0.0, 0.0]


@given(st.lists(st.lists(TEXT, min_size=2, max_size=2), min_size=2, max_size=3 * OTHERS))
def test_self_bleu_is_a_share(replies: list[list[str]]) -> None:
    for row in self_bleu(replies):
        assert all(math.isnan(value) or 0 <= value <= 1 + 1e-9 for value in row)


@given(TEXT.filter(bool), st.integers(2, 30))
def test_one_reply_to_everything_is_one(reply: str, prompts: int) -> None:
    assert self_bleu([[reply]] * prompts) == [[pytest.approx(1.0)]] * prompts


def test_the_commonest_topic() -> None:
    replies = [["El café manda", "Solo existe el CAFÉ"], ["Otro café, gracias"], ["Llueve sobre la nave"]]
    top, rows = on_one_topic(replies, ["hola", "¿quieres un café?", "¿qué tiempo hace?"])
    assert top == "cafe"
    assert rows[0] == [1.0, 1.0]
    assert math.isnan(rows[1][0])  # the viewer brought it up
    assert rows[2] == [0.0]


def test_stop_words_and_short_words_are_no_topic() -> None:
    assert on_one_topic([["Y esto también es así"], ["this is not the end"]], ["", ""]) == ("", [[0.0], [0.0]])
