"""Reasons in plain words, and the lines of a prompt."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from memory_service.recall.reasons import context_summary, reason, why_words_only


@dataclass
class Memory:
    created_at: datetime
    content: str
    memory_type: str = "event"


@pytest.mark.parametrize(
    ("dense", "words", "language", "words_only", "says"),
    [
        ((1, 0.697), ["gato"], "es", None, "se parece por el significado (puesto 1, coseno 0,70); comparte «gato»"),
        ((3, 0.5), [], "es", None, "se parece por el significado (puesto 3, coseno 0,50); no comparte palabras"),
        (None, ["gato", "miso"], "es", None, "comparte «gato», «miso»; aún no tiene vector"),
        ((1, 0.697), ["cat"], "en", None, "close in meaning (rank 1, cosine 0.70); shares “cat”"),
        (None, ["cat"], "ja", None, "shares “cat”; has no vector yet"),
        (None, ["cat"], "en", "searched by words only: it loads", "shares “cat”; searched by words only: it loads"),
        (None, [], "en", None, "shares no words; has no vector yet; told with the others: all of them fit"),
        (None, [], "es", None, "no comparte palabras; aún no tiene vector; va con las demás: caben todas"),
        (None, [], "en", "X", "shares no words; X; told with the others: all of them fit"),
        (
            (1, 1.0),
            list("abcdefg"),
            "en",
            None,
            "close in meaning (rank 1, cosine 1.00); shares “a”, “b”, “c”, “d”, “e”",
        ),
    ],
)
def test_a_reason_says_what_each_arm_saw(
    dense: tuple[int, float] | None, words: list[str], language: str, words_only: str | None, says: str
) -> None:
    assert reason(dense, words, language, words_only=words_only) == says


@pytest.mark.parametrize("cause", ["loading", "slow", "failed", "off"])
def test_recall_by_words_alone_says_why_in_both_languages(cause: str) -> None:
    assert why_words_only(cause, "es").startswith("búsqueda solo por palabras: ")
    assert why_words_only(cause, "en").startswith("searched by words only: ")


def test_the_summary_is_dated_flat_and_oldest_first() -> None:
    new = Memory(datetime(2026, 1, 5, 23, tzinfo=UTC), "luna: ¿y?\nCasiopy:  ya   veremos")
    old = Memory(datetime(2025, 12, 30, 1, tzinfo=UTC), "luna: hola")
    expected = "- 2025-12-30: luna: hola\n- 2026-01-05: luna: ¿y? Casiopy: ya veremos"
    assert context_summary([new, old]) == context_summary([old, new]) == expected
    assert context_summary([]) == ""


def test_what_holds_comes_first_and_has_no_date() -> None:
    days = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3, 4)]
    told = [
        Memory(days[3], "likes: rain", "preference"),
        Memory(days[0], "visited: Lisbon", "event"),
        Memory(days[2], "luna: hola"),
        Memory(days[1], "city: Madrid", "fact"),
    ]
    expected = "- city: Madrid\n- likes: rain\n- 2026-01-01: visited: Lisbon\n- 2026-01-03: luna: hola"
    assert context_summary(told) == context_summary(told[::-1]) == expected


def test_one_long_memory_cannot_fill_a_prompt() -> None:
    line = context_summary([Memory(datetime(2026, 1, 1, tzinfo=UTC), "palabra " * 4000)])
    assert len(line) < 620
    assert line.endswith("…")
