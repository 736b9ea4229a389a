"""What people preferred: which replies pair up, which label they get, and that each comes out again under its name."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_service.exports.candidates import Candidate, Opinion
from memory_service.exports.preferences import PreferenceSelection, judged, pairs, resolved, vote
from memory_service.exports.selection import Wanted

NOON = datetime(2026, 1, 6, 12, tzinfo=UTC)
REPLY = "*suspiro* Otra vez tú, mortal."


def exchange(number: int = 1, *opinions: Opinion, **changes: object) -> Candidate:
    values: dict[str, object] = {
        "interaction_id": str(UUID(int=number)),
        "session_id": str(UUID(int=number // 10)),
        "user_id": "luna",
        "input_text": f"¿Y la historia {number * 7919} de la nave?",
        "output_text": REPLY,
        "occurred_at": NOON + timedelta(minutes=number),
        "quality_score": 0.9,
        "content_hash": "00" * 32,
        "opinions": opinions,
    }
    return Candidate(**(values | changes))  # type: ignore[arg-type]


def labels(*opinions: Opinion) -> list[tuple[str, bool]]:
    return [(reply.text, reply.good) for reply in judged(exchange(1, *opinions))]


@pytest.mark.parametrize(
    ("ratings", "voted"), [([5], True), ([4, 4], True), ([1, 2], False), ([5, 1], None), ([], None)]
)
def test_votes(ratings: list[int], voted: bool | None) -> None:
    assert vote(exchange(1, *(Opinion(str(n), rating) for n, rating in enumerate(ratings)))) is voted


@pytest.mark.parametrize(
    ("opinions", "expected"),
    [
        ([Opinion("a", 5)], [(REPLY, True)]),
        ([Opinion("a", 1)], [(REPLY, False)]),
        ([Opinion("a", 3)], []),
        ([Opinion("a", corrected="Mejor así, mortal.")], [(REPLY, False), ("Mejor así, mortal.", True)]),
        ([Opinion("a", 5, corrected="Mejor así, mortal.")], [(REPLY, True), ("Mejor así, mortal.", True)]),
        ([Opinion("a", discarded=("Hola.", "Bien."))], [(REPLY, True), ("Hola.", False), ("Bien.", False)]),
        ([Opinion("a", discarded=("hola", "Hola.")), Opinion("b", 3)], [("hola", False)]),
        (
            [Opinion("a", corrected="OTRA VEZ TÚ mortal, suspiro")],
            [(REPLY, False), ("OTRA VEZ TÚ mortal, suspiro", True)],
        ),
        ([Opinion("a", corrected=REPLY.upper())], [(REPLY, False)]),
        ([Opinion("a", discarded=(REPLY, "  "))], [(REPLY, True)]),
    ],
)
def test_every_judged_reply_has_one_label(opinions: list[Opinion], expected: list[tuple[str, bool]]) -> None:
    assert labels(*opinions) == expected


def test_what_was_corrected_and_what_was_swiped_away_pairs_with_the_stored_reply() -> None:
    one = exchange(1, Opinion("a", corrected="Mejor así."), Opinion("b", 5, discarded=("Hola.",)))
    assert pairs(one) == [("corrected:a", "Mejor así.", REPLY), ("discarded:b:0", REPLY, "Hola.")]
    # A reply that was voted down is no better than what was swiped away for it.
    assert pairs(exchange(1, Opinion("b", 1, discarded=("Hola.",)))) == []
    assert pairs(exchange(1, Opinion("a", corrected="Mejor así."), output_text=" ")) == []


_OPINIONS = st.lists(
    st.builds(
        Opinion,
        st.uuids().map(str),
        st.none() | st.integers(1, 5),
        st.none() | st.text(min_size=1, max_size=10),
        st.lists(st.text(min_size=1, max_size=5), max_size=3).map(tuple),
    ),
    max_size=4,
    unique_by=lambda opinion: opinion.id,
)


@given(_OPINIONS)
def test_every_judged_reply_is_found_again_by_its_evidence(opinions: list[Opinion]) -> None:
    one = exchange(1, *opinions)
    for reply in judged(one):
        assert resolved(one, reply.evidence) == reply
    for evidence, chosen, rejected in pairs(one):
        named = resolved(one, evidence).text
        assert named in (chosen, rejected)
        assert chosen != rejected
    with pytest.raises(KeyError):
        resolved(one, "corrected:somebody else's")


def run(*exchanges: Candidate, paired: bool = True) -> PreferenceSelection:
    selection = PreferenceSelection(Wanted(min_quality=0.6), paired=paired)
    selection.look_at(exchanges)
    selection.close()
    return selection


def evidence(selection: PreferenceSelection) -> list[list[tuple[int, str]]]:
    uses = (selection.shortlist.uses(int(index)) for index in selection.kept)
    return [[(UUID(use.interaction_id).int, use.evidence) for use in row] for row in uses]


def test_votes_on_different_replies_to_the_same_words_become_pairs() -> None:
    asked = {"input_text": "¿Qué cenas hoy?"}
    up, down = Opinion("u", 5), Opinion("d", 1)
    selection = run(
        exchange(10, up, **asked),
        exchange(20, down, **asked, output_text="No lo sé."),
        exchange(30, down, **asked, output_text="¡Pizza! ¿En qué puedo ayudarte?"),
        exchange(40, up, output_text="Otra cosa."),
        exchange(50, down, **asked, output_text=REPLY),
    )
    assert evidence(selection) == [[(10, "chosen"), (20, "rejected")]]
    assert selection.links == [(str(UUID(int=1)), str(UUID(int=2)))]
    assert {s.stage: s.kept for s in selection.funnel}["judgements"] == 1


def test_the_same_reply_voted_up_and_down_is_no_pair() -> None:
    asked = {"input_text": "¿Qué cenas hoy?"}
    assert evidence(run(exchange(10, Opinion("u", 5), **asked), exchange(20, Opinion("d", 1), **asked))) == []


def test_the_funnel_of_preferences_adds_up() -> None:
    swiped = Opinion("b", discarded=("Hola, ¿en qué puedo ayudarte hoy?",))
    selection = run(
        exchange(1),
        exchange(2, Opinion("o", 5), opted_out=True),
        exchange(3, Opinion("a", corrected="Una historia larga y mucho mejor contada, mortal.")),
        exchange(4, swiped),
        exchange(5, swiped, dropped=True),
        exchange(6, swiped, quality_score=0.1),
        exchange(7, Opinion("d", 3)),
    )
    assert [(s.stage, s.kept, s.dropped) for s in selection.funnel] == [
        ("stored", 7, 0),
        ("consent", 6, 1),
        ("judged", 5, 1),
        ("probes", 5, 0),
        ("judgements", 4, 0),
        ("quality", 2, 2),
        ("exact_duplicates", 2, 0),
        ("near_duplicates", 2, 0),
    ]
    assert "1 from edits, 3 from swipes" in selection.funnel[4].why
    assert evidence(selection) == [[(3, "corrected:a")], [(4, "discarded:b:0")]]


def test_kto_takes_each_judged_reply() -> None:
    selection = run(
        exchange(1, Opinion("a", 1, corrected="Mucho mejor contada así.")), exchange(2, Opinion("b", 5)), paired=False
    )
    assert evidence(selection) == [[(1, "original-")], [(1, "corrected:a")], [(2, "original+")]]
