"""Regular expressions are searched in time, and find what Python's own `re` finds."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona_training.evaluation.battery import Battery, load_battery
from persona_training.evaluation.markers import has_marker, marker_count, without_markers
from persona_training.evaluation.patterns import Pattern, PatternError, objection

FLAGS = re.IGNORECASE | re.MULTILINE
BATTERY = load_battery()


def every_pattern(battery: Battery) -> list[Pattern]:
    groups = (battery.assistant_tone, battery.refusal, battery.canaries, battery.out_of_character)
    return [*(marker.pattern for marker in battery.markers), *(pattern for group in groups for pattern in group)]


def test_a_search_that_would_not_end_is_stopped_and_named() -> None:
    endless = Pattern("((a{1,60}){1,60}){1,60}#")
    searches: list[Callable[[str], object]] = [endless.search, endless.finditer, lambda text: endless.sub("", text)]
    for search in searches:
        with pytest.raises(
            PatternError, match=r"'\(\(a\{1,60\}\).* took more than 1 s for one text\. Write it without"
        ):
            search("a" * 60 + "! #")
    assert endless.search("Hola.") is None


def test_what_hangs_python_s_own_is_no_trouble() -> None:
    catastrophic = Pattern(r"^(\w+\s?)+!$")
    assert catastrophic.search("word " * 200 + "! no") is None
    assert len(catastrophic.finditer("Hola a todos!\nnada\nAdiós!")) == 2
    assert objection(catastrophic.pattern) is None


@pytest.mark.parametrize("source", ["|", "a|", "x*", "$", "(?:)", r"\s*", "a?"])
def test_what_is_in_every_text_tells_nothing(source: str) -> None:
    assert "is found in every text" in str(objection(source))


@pytest.mark.parametrize("source", ["a", "^[^!]*$", "^$", r"\bay\b", "^(?!.*!)"])
def test_what_is_missing_from_some_text_tells_something(source: str) -> None:
    assert objection(source) is None


TEXTS = [reply for probe in BATTERY.probes for reply in (*probe.references, probe.neutral, probe.prompt)]
CUTS = st.builds(
    lambda one, other, at, blank: one[:at] + blank + other[at:],
    st.sampled_from(TEXTS),
    st.sampled_from(TEXTS),
    st.integers(0, 80),
    st.sampled_from(["", " ", "\n", "*", "İß"]),
)


@given(text=CUTS | st.text(max_size=60))
def test_the_shipped_ones_find_what_they_found_before(text: str) -> None:
    for pattern in every_pattern(BATTERY):
        before = re.compile(pattern.pattern, FLAGS)
        assert (pattern.search(text) is not None) == (before.search(text) is not None), pattern
        assert [one.span() for one in pattern.finditer(text)] == [one.span() for one in before.finditer(text)], pattern
        assert pattern.sub(" ", text) == before.sub(" ", text), pattern


def test_markers_are_counted_and_cut() -> None:
    sigh = [marker for marker in BATTERY.markers if marker.pattern.search("*suspira*")]
    reply = "*suspira* Vale. *suspira*"
    assert (has_marker(reply, sigh), marker_count(reply, sigh) >= 2) == (1.0, True)
    assert "suspira" not in without_markers(reply, sigh)
