"""Both languages say the same things, in the order they are wished for, and write figures their own way."""

from __future__ import annotations

import re
import string
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from flask import Flask, request
from hypothesis import given
from hypothesis import strategies as st
from persona_dashboard import language
from persona_dashboard.language import LANGUAGES, Numerals, Words, catalogue, choose_language

PACKAGE = Path(language.__file__).parent
# Words that come from outside: statuses, parts, signals ... looked up with a fall-back to the word itself.
FROM_OUTSIDE = {
    "notice",
    "problem",
    "failure",
    "remedy",
    "status",
    "part",
    "category",
    "rule",
    "signal",
    "stage",
    "type",
}
FROM_OUTSIDE |= {
    "split",
    "direction",
    "drawing",
    "nav",
    "gate",
    "lineage",
    "recall",
    "run_stage",
    "live_event",
    "asked_by",
}


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("name", catalogue())
def test_every_phrase_is_in_every_language(name: str) -> None:
    texts = catalogue()[name]
    assert set(texts) == set(LANGUAGES)
    assert all(text.strip() for text in texts.values())
    assert fields(texts["en"]) == fields(texts["es"])


def used_names() -> set[str]:
    sources = [*(PACKAGE / "templates").rglob("*.html"), *PACKAGE.rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    return set(re.findall(r"""(?:\bt|words\(\))\(\s*['"]([a-z_]+\.[a-z_]+)['"]""", text))


def test_templates_use_only_phrases_that_exist() -> None:
    assert used_names() - set(catalogue()) == set()


def test_no_phrase_is_left_over() -> None:
    used = used_names()
    unused = {name for name in catalogue() if name not in used and name.split(".")[0] not in FROM_OUTSIDE}
    assert unused == set()


@pytest.mark.parametrize(
    ("query", "cookie", "accepts", "chosen"),
    [
        ("es", "en", "en", "es"),
        ("", "es", "en", "es"),
        ("", "", "es-MX,es;q=0.9,en;q=0.5", "es"),
        ("", "", "fr", "en"),
        ("", "", "", "en"),
        ("xx", "yy", "es", "es"),
        ("../..", "", "en", "en"),
    ],
)
def test_the_nearest_wish_counts(query: str, cookie: str, accepts: str, chosen: str) -> None:
    headers = {"Accept-Language": accepts, "Cookie": f"casiopy_lang={cookie}"}
    with Flask("x").test_request_context(f"/?lang={query}", headers=headers):
        assert choose_language(request) == chosen


@pytest.mark.parametrize(
    ("value", "digits", "english", "spanish"),
    [
        (1234567, 0, "1,234,567", "1\u202f234\u202f567"),
        (0.856, 2, "0.86", "0,86"),
        (-3.5, 1, "\u22123.5", "\u22123,5"),
        (None, 0, "–", "–"),
        (float("nan"), 0, "–", "–"),
    ],
)
def test_numbers(value: float | None, digits: int, english: str, spanish: str) -> None:
    assert Numerals("en").number(value, digits) == english
    assert Numerals("es").number(value, digits) == spanish


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.234, "1.23"), (0.0473, "0.047"), (0.0002, "2.0e−4"), (0.0, "0.00"), (123.45, "123.5"), (12345.6, "12,346")],
)
def test_figures(value: float, text: str) -> None:
    assert Numerals("en").figure(value) == text


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_every_figure_has_a_text(value: float) -> None:
    for code in LANGUAGES:
        assert Numerals(code).figure(value, plus=True)
        assert Numerals(code).duration(value)


@pytest.mark.parametrize(
    ("seconds", "text"), [(9.4, "9 s"), (75, "1 min 15 s"), (3725, "1 h 02 min"), (-1, "0 s"), (None, "–")]
)
def test_durations(seconds: float | None, text: str) -> None:
    assert Numerals("en").duration(seconds) == text


def test_moments_name_the_year_only_when_it_is_another() -> None:
    this_year = datetime.now(UTC).year
    assert str(this_year) not in Numerals("es").moment(datetime(this_year, 3, 5, 12, tzinfo=UTC))
    assert "2019" in Numerals("es").moment(datetime(2019, 3, 5, 12, tzinfo=UTC))
    assert Numerals("es").day(date(2026, 8, 3)) == "3 ago"


def test_an_unknown_phrase_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Words("en")("no.such")
    assert Words("en").maybe("no.such", "as it came") == "as it came"
