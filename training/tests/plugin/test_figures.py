"""Shares with their bounds, and when a claim about one holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona_training.pytest_plugin.shares import share_interval
from persona_training.pytest_plugin.shown import explain
from persona_training.pytest_plugin.surely import Seen, Surely

HITS = st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=40)


def figure(value: float, low: float, high: float) -> Surely:
    seen = [Seen("¿Y eso?", "Perdón, lo siento.", 1.0), Seen("¿Qué?", "Nada.", 0.0)]
    return Surely("rate of 'perdón'", value, low, high, "share of replies", 40, seen)


@given(HITS)
def test_the_share_lies_between_its_bounds(hits: list[list[bool]]) -> None:
    share, low, high = share_interval(hits)
    assert 0 <= low <= share <= high <= 1


@given(HITS)
def test_hits_and_misses_mirror_each_other(hits: list[list[bool]]) -> None:
    share, low, high = share_interval(hits)
    mirrored = share_interval([[not hit for hit in row] for row in hits])
    assert mirrored == pytest.approx((1 - share, 1 - high, 1 - low))


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [(0, 20, 0.0, 0.1391), (20, 20, 0.8609, 1.0), (3, 20, 0.0422, 0.3437), (10, 20, 0.3020, 0.6980)],
)
def test_one_reply_a_prompt_is_clopper_and_pearson(hits: int, of: int, low: float, high: float) -> None:
    """Against the tables: central 90 %, so that each end is a one-sided 95 % bound."""
    found = share_interval([[number < hits] for number in range(of)])
    assert found == pytest.approx((hits / of, low, high), abs=1e-4)


def test_replies_that_are_all_alike_count_once_per_prompt() -> None:
    alike = share_interval([[number < 5] * 4 for number in range(20)])
    once = share_interval([[number < 5] for number in range(20)])
    assert alike == pytest.approx(once, abs=0.01)


def test_replies_that_differ_count_each() -> None:
    mixed = share_interval([[True, False, False, False]] * 20)
    assert mixed == pytest.approx(share_interval([[number < 20] for number in range(80)]))


def test_never_is_shown_by_prompts_and_not_by_samples() -> None:
    assert share_interval([[False] * 9] * 20)[2] == pytest.approx(share_interval([[False]] * 20)[2])
    assert share_interval([[False] * 60])[2] < 0.05  # one prompt: the claim is about it


def test_a_claim_holds_when_the_whole_interval_does() -> None:
    rate = figure(0.02, 0.01, 0.06)
    assert rate <= 0.06
    assert not rate <= 0.05
    assert not rate < 0.06
    assert rate >= 0.01
    assert not rate > 0.01
    assert 0.0 <= rate <= 0.1
    assert 0.1 >= rate  # noqa: SIM300 (either way round)
    assert rate.value <= 0.05
    assert float(rate) == 0.02
    assert str(rate) == "2.0 % of replies [1.0 %, 6.0 %], 40 prompts"


def test_a_figure_is_no_truth() -> None:
    with pytest.raises(TypeError, match="Compare rate of 'perdón' with a bound"):
        assert figure(0.02, 0.01, 0.06)


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (figure(0.50, 0.30, 0.70), ["Refuted", "Replies that speak against it", "Perdón, lo siento."]),
        (figure(0.02, 0.01, 0.06), ["Not shown: it might be 6.0 %", "--persona-samples", "Nearest to it"]),
        (figure(0.06, 0.04, 0.09), ["Not shown", "The figure itself is beyond the bound", "Perdón, lo siento."]),
    ],
)
def test_a_failed_claim_says_how_sure_it_is_and_which_replies_broke_it(rate: Surely, said: list[str]) -> None:
    text = "\n".join(explain(rate, "<=", 0.05))
    assert text.startswith("rate of 'perdón' <= 5.0 %\n")
    for part in said:
        assert part in text
    assert "Nada." not in text
    assert "Nada." in "\n".join(explain(rate, ">=", 0.9))
