"""A made-up week holds out what it asks: wordings, people and values."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from persona_training.generation import Sampling
from persona_training.messages import Conversation
from persona_training.tiny import patterns
from persona_training.tiny.grammar import exchanges
from persona_training.tiny.knowledge import ATTRIBUTES, KNOWN, NEWCOMERS, RESIDENTS
from persona_training.tiny.measure import MARKER, answers, marker_share, says, stranger_questions
from persona_training.tiny.week import FACTS_EACH, IN_CHARACTER, PEOPLE, POLITE, Question, Week, draw_week

SEEDS = st.integers(0, 10_000)
SAMPLE = list(exchanges(5, 20_000))


class Parrot:
    """Replies what it is told to."""

    name = "parrot"

    def __init__(self, replies: dict[str, str]) -> None:
        self.replies = replies

    def reply(self, conversations: list[Conversation], sampling: Sampling, seed: int) -> list[str]:
        return [self.replies.get(conversation[-1]["content"], "No lo sé.") for conversation in conversations]


@given(SEEDS)
def test_no_held_out_question_is_in_a_row(seed: int) -> None:
    week = draw_week(seed)
    read = {message["content"] for exchange in week.exchanges(POLITE) for message in exchange}
    assert not read & {question.text for question in week.questions(week.held_out)}
    assert {question.text for question in week.questions(week.taught)} <= read


@given(SEEDS)
def test_people_and_values_are_nobody_elses(seed: int) -> None:
    week = draw_week(seed)
    assert len(week.facts) == PEOPLE * FACTS_EACH == len({(f.attribute.name, f.value) for f in week.facts})
    assert {f.who for f in week.facts} | set(week.strangers) == set(NEWCOMERS)
    assert not {(f.attribute.name, f.value) for f in week.facts} & {(f.attribute.name, f.value) for f in KNOWN}


def test_the_base_reads_nothing_true_of_a_newcomer() -> None:
    """Newcomers are asked about and never answered; the values a week may tell are said of nobody."""
    free = [value for attribute in ATTRIBUTES for value in attribute.values[len(RESIDENTS) :]]
    for conversation in SAMPLE:
        for asked, replied in zip(conversation[::2], conversation[1::2], strict=True):
            about = [who for who in NEWCOMERS if says(asked["content"], who)]
            asks = [
                a
                for a in ATTRIBUTES
                for way in a.ask
                for who in about
                if way.strip("¿?").format(who=who) in asked["content"]
            ]
            if asks:
                assert not [value for value in free if says(replied["content"], value)], conversation


def test_the_week_adds_no_more_than_a_third_to_the_neutral_talk() -> None:
    knowledge = [p for p in patterns.ES_PATTERNS if any(re.search(r"\{(asked|asked_new|told)\}", ask) for ask in p.ask)]
    share = sum(p.weight for p in knowledge) / sum(p.weight for p in patterns.ES_PATTERNS)
    assert 0.2 < share < 1 / 3


def test_the_tones_carry_markers_or_none() -> None:
    assert all(MARKER.search(reply) for reply in IN_CHARACTER)
    assert not any(MARKER.search(reply) for reply in POLITE)


def perfect(week: Week, questions: list[Question]) -> Parrot:
    return Parrot({question.text: question.fact.replied(0) for question in questions})


def test_answers_are_counted_by_value_and_person() -> None:
    week = draw_week(3)
    questions = week.questions(week.held_out)
    heard = answers(perfect(week, questions), week, questions)
    assert (heard.right, heard.others, heard.commonest) == (1.0, 0.0, 0.25)
    assert answers(Parrot({}), week, questions).right == 0.0
    same = {a.name: next(f for f in week.facts if f.attribute is a) for a in ATTRIBUTES}
    one = answers(Parrot({q.text: same[q.fact.attribute.name].replied(0) for q in questions}), week, questions)
    assert (one.right, one.others, one.commonest) == (0.25, 0.75, 1.0)
    assert answers(Parrot({}), week, stranger_questions(week)).commonest == 0.0


def test_a_value_counts_as_a_word() -> None:
    assert says("Tiene 55 puntos.", "55")
    assert not says("Tiene 155 puntos.", "55")
    assert marker_share(Parrot({"hola": "*suspiro* Hola."})) == 1 / 32
