"""The funnel: who gets in, in which order, and that its figures add up."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from memory_service.exports.selection import NEAR_DUPLICATE, Candidate, select
from memory_service.scoring.text import grams, jaccard

NOON = datetime(2026, 1, 6, 12, tzinfo=UTC)


def candidate(number: int, **changes: object) -> Candidate:
    values: dict[str, object] = {
        "interaction_id": f"i{number:03d}",
        "session_id": "s1",
        "user_id": "luna",
        "input_text": f"pregunta número {number * 7919} sobre {'abcdefghij'[number % 10] * 6}",
        "output_text": f"*suspiro* respuesta {number * 104729} de {'klmnopqrst'[number % 10] * 6}, mortal.",
        "occurred_at": NOON + timedelta(minutes=number),
        "quality_score": 0.9,
        "content_hash": "00",
    }
    return Candidate(**(values | changes))  # type: ignore[arg-type]


def kept(*candidates: Candidate, in_character: bool = False) -> list[str]:
    return [c.interaction_id for c in select(candidates, min_quality=0.6, in_character=in_character).kept]


def test_consent_comes_before_everything() -> None:
    selection = select(
        [candidate(1, opted_out=True, quality_score=1.0), candidate(2)], min_quality=0, in_character=False
    )
    assert [c.interaction_id for c in selection.kept] == ["i002"]
    assert [(s.stage, s.kept, s.dropped) for s in selection.funnel][:2] == [("stored", 2, 0), ("consent", 1, 1)]


def test_each_stage_drops_its_own() -> None:
    rows = [
        candidate(1),
        candidate(2, opted_out=True),
        candidate(3, output_text="  "),
        candidate(4, dropped=True, quality_score=0.0),
        candidate(5, quality_score=0.59),
        candidate(6, persona_style=0.1),
        candidate(
            7, input_text=candidate(1).input_text.upper(), output_text=candidate(1).output_text + "!", quality_score=0.8
        ),
        candidate(8, input_text=candidate(1).input_text, output_text=candidate(1).output_text[:-4] + "l tío."),
    ]
    selection = select(rows, min_quality=0.6, in_character=True)
    assert [(s.stage, s.dropped) for s in selection.funnel] == [
        ("stored", 0),
        ("consent", 1),
        ("reply", 1),
        ("rules", 1),
        ("quality", 1),
        ("in_character", 1),
        ("exact_duplicates", 1),
        ("near_duplicates", 1),
    ]
    assert [c.interaction_id for c in selection.kept] == ["i001"]
    assert all(stage.why for stage in selection.funnel)


def test_the_best_of_the_same_stays() -> None:
    same = {"input_text": "hola", "output_text": "*suspiro* Otra vez tú, mortal."}
    assert kept(candidate(1, quality_score=0.7, **same), candidate(2, quality_score=0.95, **same)) == ["i002"]
    assert kept(candidate(1, quality_score=0.9, **same), candidate(2, quality_score=0.9, **same)) == ["i001"]


def test_the_same_short_reply_to_another_question_is_no_duplicate() -> None:
    assert len(kept(candidate(1, output_text="Obvio, mortal."), candidate(2, output_text="Obvio, mortal."))) == 2


def test_people_stand_above_the_rules() -> None:
    human = candidate(1, dropped=True, judged_by_human=True, persona_style=0.0)
    assert kept(human, in_character=True) == ["i001"]
    assert kept(candidate(1, judged_by_human=True, quality_score=0.2)) == []


_TEXT = st.text(alphabet="abcd efgh", min_size=1, max_size=40)
_CANDIDATES = st.lists(
    st.builds(
        lambda n, i, o, q, opt, drop: candidate(
            n, input_text=i, output_text=o, quality_score=q, opted_out=opt, dropped=drop
        ),
        st.integers(0, 10_000),
        _TEXT,
        _TEXT,
        st.floats(0, 1),
        st.booleans(),
        st.booleans(),
    ),
    max_size=25,
    unique_by=lambda c: c.interaction_id,
)


@given(_CANDIDATES)
def test_the_funnel_adds_up_and_is_deterministic(candidates: list[Candidate]) -> None:
    selection = select(candidates, min_quality=0.5, in_character=False)
    assert selection.funnel[0].kept == len(candidates)
    for before, stage in zip(selection.funnel, selection.funnel[1:], strict=False):
        assert stage.kept + stage.dropped == before.kept
    assert selection.funnel[-1].kept == len(selection.kept)
    again = select(reversed(candidates), min_quality=0.5, in_character=False)
    assert again.kept == selection.kept


@given(_CANDIDATES)
def test_no_two_kept_ones_are_near_duplicates(candidates: list[Candidate]) -> None:
    selection = select(candidates, min_quality=0, in_character=False)
    sets = [grams(f"{c.input_text}\n{c.output_text}", 5) for c in selection.kept]
    for i, one in enumerate(sets):
        assert all(jaccard(one, other) < NEAR_DUPLICATE for other in sets[:i])
