"""What a question asks for besides its words."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_service.recall.questions import Period, about, asks_when, date_fit, periods, possible_speakers


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("What did Ana do in June 2023?", [Period(2023, 6)]),
        ("¿Qué hizo en junio de 2023?", [Period(2023, 6)]),
        ("What happened on 7 May 2023?", [Period(2023, 5, 7)]),
        ("What happened on May 7th, 2023?", [Period(2023, 5, 7)]),
        ("¿Qué pasó el 7 de mayo del 2023?", [Period(2023, 5, 7)]),
        ("¿Y el 3 de setiembre?", [Period(None, 9, 3)]),
        ("Where was she on 2023-07-12 and in 2022?", [Period(2023, 7, 12), Period(2022)]),
        ("May I ask what you may like?", []),
        ("What did she buy in May?", [Period(None, 5)]),
        ("Who marched in March?", [Period(None, 3)]),
        ("Where was she on 2023-13-12?", [Period(2023, None, 12)]),
        ("How many are 300?", []),
    ],
)
def test_periods(question: str, found: list[Period]) -> None:
    assert periods(question) == found


@pytest.mark.parametrize(
    ("period", "fit"),
    [
        (Period(2023, 6, 10), 1.0),
        (Period(None, 6, 12), 0.75),
        (Period(2023, 6, 25), 0.5),
        (Period(2023, 6), 0.7),
        (Period(None, 6), 0.7),
        (Period(2023), 0.3),
        (Period(2022, 6, 10), 0.0),
        (Period(None, 7), 0.0),
    ],
)
def test_a_day_says_more_than_a_month_and_a_month_more_than_a_year(period: Period, fit: float) -> None:
    assert date_fit([period], date(2023, 6, 10)) == fit


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("When did Ana move?", True),
        ("¿Cuándo se mudó Ana?", True),
        ("¿En qué mes nació?", True),
        ("What year was it?", True),
        ("How long ago did she start?", True),
        ("What does she like?", False),
        ("¿Qué le gusta?", False),
    ],
)
def test_asking_for_a_time(question: str, answer: bool) -> None:
    assert asks_when(question) is answer


@pytest.mark.parametrize(
    ("question", "speakers", "text", "speaker"),
    [
        ("When did Ana adopt Toby?", {"ana", "luis"}, "When did adopt Toby?", "ana"),
        ("What is Ana's dog called?", {"ana"}, "What is dog called?", "ana"),
        ("¿Qué opina Íñigo?", {"inigo"}, "¿Qué opina ?", "inigo"),
        ("Do Ana and Luis agree?", {"ana", "luis"}, "Do and agree?", None),
        ("Ana", {"ana"}, "Ana", "ana"),
        ("What did you recommend?", {"user", "assistant"}, "What did you recommend?", "assistant"),
        ("What is my dog called?", {"user", "assistant"}, "What is my dog called?", "user"),
        ("What is my dog called?", {"ana", "luis"}, "What is my dog called?", None),
        ("What did Ana Maria say?", {"ana maria", "ana"}, "What did say?", "ana maria"),
        ("What does nobody know?", set(), "What does nobody know?", None),
    ],
)
def test_names_leave_the_dense_question_and_say_who_is_asked_about(
    question: str, speakers: set[str], text: str, speaker: str | None
) -> None:
    found = about(question, speakers & possible_speakers(question))
    assert (found.text, found.speaker) == (text, speaker)


@given(st.text(max_size=200), st.sets(st.text(st.characters(categories=["L"]), min_size=1, max_size=8), max_size=5))
def test_any_text_is_a_question(question: str, names: set[str]) -> None:
    found = about(question, names & possible_speakers(question))
    assert found.text.strip() or not question.strip()
    assert all(0 <= one.fit(date(2024, 2, 29)) <= 1 for one in periods(question))
    asks_when(question)
