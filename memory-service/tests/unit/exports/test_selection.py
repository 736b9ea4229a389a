"""The funnel: who gets in, in which order, and that its figures add up."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_service.exports.candidates import Candidate
from memory_service.exports.deduplication import NEAR_DUPLICATE, alike, dissimilar, groups, thinned
from memory_service.exports.lengths import described
from memory_service.exports.probes import Probes
from memory_service.exports.selection import Selection, Wanted
from memory_service.exports.sketching import sketch
from memory_service.scoring.text import grams, jaccard

NOON = datetime(2026, 1, 6, 12, tzinfo=UTC)
SESSION = str(UUID(int=1))


def candidate(number: int, **changes: object) -> Candidate:
    values: dict[str, object] = {
        "interaction_id": str(UUID(int=number)),
        "session_id": SESSION,
        "user_id": "luna",
        "input_text": f"pregunta número {number * 7919} sobre {'abcdefghij'[number % 10] * 6}",
        "output_text": f"*suspiro* respuesta {number * 104729} de {'klmnopqrst'[number % 10] * 6}, mortal.",
        "occurred_at": NOON + timedelta(minutes=number),
        "quality_score": 0.9,
        "content_hash": "00" * 32,
    }
    return Candidate(**(values | changes))  # type: ignore[arg-type]


def selected(candidates: Sequence[Candidate], **wanted: object) -> Selection:
    selection = Selection(Wanted(**({"min_quality": 0.6} | wanted)))  # type: ignore[arg-type]
    ordered = sorted(candidates, key=lambda c: (c.session_id, c.occurred_at, c.interaction_id))
    for start in range(0, len(ordered), 3):
        selection.look_at(ordered[start : start + 3])
    selection.close()
    return selection


def kept(*candidates: Candidate, **wanted: object) -> list[int]:
    selection = selected(candidates, **wanted)
    return [UUID(selection.shortlist.id(int(index))).int for index in selection.kept]


def dropped(selection: Selection) -> dict[str, int]:
    return {stage.stage: stage.dropped for stage in selection.funnel}


def test_consent_comes_before_everything() -> None:
    rows = [candidate(1, opted_out=True, quality_score=1.0), candidate(2)]
    assert kept(*rows, min_quality=0) == [2]
    stages = [(s.stage, s.kept, s.dropped) for s in selected(rows, min_quality=0).funnel]
    assert stages[:2] == [("stored", 2, 0), ("consent", 1, 1)]


def test_each_stage_drops_its_own() -> None:
    first = candidate(1)
    rows = [
        first,
        candidate(2, opted_out=True),
        candidate(3, output_text="  "),
        candidate(4, dropped=True, quality_score=0.0),
        candidate(5, quality_score=0.59),
        candidate(6, persona_style=0.1),
        candidate(7, input_text=first.input_text.upper(), output_text=first.output_text + "!", quality_score=0.8),
        candidate(8, input_text=first.input_text, output_text=first.output_text[:-4] + "l tío."),
        candidate(9, input_text="¿Cuál es la capital de Francia?"),
        candidate(10, named=True),
    ]
    probes = Probes(["¿cuál es la capital de francia?"])
    selection = selected([*rows], in_character=True, probes=probes)
    assert list(dropped(selection).items()) == [
        ("stored", 0),
        ("consent", 1),
        ("reply", 1),
        ("rules", 1),
        ("quality", 1),
        ("in_character", 1),
        ("probes", 1),
        ("exact_duplicates", 1),
        ("near_duplicates", 1),
    ]
    assert all(stage.why for stage in selection.funnel)
    assert kept(*rows, in_character=True, probes=probes) == [1, 10]


@pytest.mark.parametrize(
    ("changes", "belongs"),
    [
        ({}, False),
        ({"named": True}, True),
        ({"metadata": {"skill": "Metroid"}}, True),
        ({"metadata": {"skill": 3}}, False),
    ],
)
def test_a_skill_is_named_by_the_exchange_its_session_or_its_topic(changes: dict[str, object], belongs: bool) -> None:
    assert kept(candidate(1, **changes), skill="metroid") == ([1] if belongs else [])


def test_the_best_of_the_same_stays() -> None:
    same = {"input_text": "hola", "output_text": "*suspiro* Otra vez tú, mortal."}
    assert kept(candidate(1, quality_score=0.7, **same), candidate(2, quality_score=0.95, **same)) == [2]
    assert kept(candidate(1, quality_score=0.9, **same), candidate(2, quality_score=0.9, **same)) == [1]


def test_the_same_short_reply_to_another_question_is_no_duplicate() -> None:
    assert len(kept(candidate(1, output_text="Obvio, mortal."), candidate(2, output_text="Obvio, mortal."))) == 2


def test_people_stand_above_the_rules() -> None:
    assert kept(candidate(1, dropped=True, judged_by_human=True, persona_style=0.0), in_character=True) == [1]
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
    selection = selected(candidates, min_quality=0.5)
    assert selection.funnel[0].kept == len(candidates)
    for before, stage in zip(selection.funnel, selection.funnel[1:], strict=False):
        assert stage.kept + stage.dropped == before.kept
    assert selection.funnel[-1].kept == len(selection.kept)
    assert kept(*reversed(candidates), min_quality=0.5) == kept(*candidates, min_quality=0.5)


@given(_CANDIDATES)
def test_no_two_kept_ones_are_nearly_the_same(candidates: list[Candidate]) -> None:
    selection = selected(candidates, min_quality=0)
    sketches = selection.shortlist.columns().sketches[selection.kept]
    for place, one in enumerate(sketches[1:], start=1):
        assert (alike(one, sketches[:place]) < NEAR_DUPLICATE + 0.1).all()


def test_a_sketch_estimates_how_alike_two_texts_are() -> None:
    deal = random.Random(7)
    words = [f"palabra{number}" for number in range(60)]
    errors = []
    for _ in range(60):
        one = deal.sample(words, 40)
        other = one[: deal.randint(0, 40)] + deal.sample(words, 20)
        left, right = " ".join(one), " ".join(other)
        estimate = alike(np.frombuffer(sketch(left), np.uint8), np.frombuffer(sketch(right), np.uint8)[None, :])[0]
        errors.append(abs(estimate - jaccard(grams(left, 5), grams(right, 5))))
    assert float(np.mean(errors)) < 0.04
    assert max(errors) < 0.15


def test_of_a_thousand_near_copies_the_best_stays() -> None:
    text = "la misma historia de siempre sobre la nave y la lluvia que nunca llega, contada otra vez, mortal"
    copies = np.array([np.frombuffer(sketch(f"{text} {number}"), np.uint8) for number in range(300)])
    order = np.argsort(np.random.default_rng(7).random(300))
    assert list(np.flatnonzero(dissimilar(copies, order))) == [order[0]]


def test_a_group_is_what_lies_near_its_first_one() -> None:
    angles = np.deg2rad([0, 10, 20, 30, 90])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    # A chain of neighbours is no group: 30° is too far from 0°.
    assert list(groups(vectors, float(np.cos(np.deg2rad(25))))) == [0, 0, 0, 3, 4]


def test_a_crowded_group_keeps_its_range_of_lengths() -> None:
    lengths = np.array([10, 12, 50, 55, 200, 210, 30], dtype=np.uint32)
    best_first = np.array([5, 4, 3, 2, 1, 0, 6])  # the long ones are the best
    stays = thinned(np.array([0, 0, 0, 0, 0, 0, 1]), lengths, best_first, 3)
    assert list(np.flatnonzero(stays)) == [1, 3, 5, 6]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(1, 4), st.randoms(use_true_random=False))
def test_no_group_keeps_more_than_its_cap(group: list[int], cap: int, deal: random.Random) -> None:
    order = deal.sample(range(len(group)), len(group))
    lengths = np.array([deal.randint(1, 300) for _ in group], dtype=np.uint32)
    stays = thinned(np.array(group), lengths, np.array(order), cap)
    for one in set(group):
        members = np.array(group) == one
        assert stays[members].sum() == min(cap, members.sum())


PROBES = Probes(["¿Qué opinas de los lunes?", "hola", "¿Cuál es la capital de Francia y por qué?"])


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("que opinas de los LUNES", True),
        ("oye, ¿qué opinas de los lunes? es para un trabajo", True),
        ("¿Cuál es la capitl de Francia y por qué?", True),
        ("hola", True),
        ("hola, ¿qué cenas hoy?", False),
        ("¿Qué opinas de los martes por la noche?", False),
        ("", False),
    ],
)
def test_probes_are_found_however_they_are_asked(text: str, asked: bool) -> None:
    assert PROBES.asked_in(text) is asked
    assert not Probes([]).asked_in(text)


def test_probes_are_remembered_by_hash_alone() -> None:
    assert Probes(["Hola", "¿Qué tal?"]).sha256 == Probes(["que tal", "hola", "HOLA"]).sha256
    assert len(Probes(["Hola", "hola!"])) == 1
    assert Probes(["a"]).sha256 != Probes(["b"]).sha256


def test_a_shift_of_lengths_is_told() -> None:
    before = np.arange(1, 101, dtype=np.uint32)
    assert described(before, before)["shift"] == 0
    told = described(before, before[50:])
    assert told["shift"] == 0.5
    assert (told["before"]["p50"], told["after"]["p50"]) == (50, 75)
    assert described(before, before[:0]) == {"before": described(before, before)["before"], "after": {}, "shift": 0.0}
