"""Words of an exchange and labels of a group."""

import re

import pytest
from memory_service.topics.keywords import distinctive_words, label_of, words_of

MARKERS = (re.compile(r"\bmortal(es)?\b", re.IGNORECASE), re.compile(r"^que ilusion", re.IGNORECASE))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("*suspiro* Ay, la piña no, mortal.", ["piña"]),
        ("Qué ilusión… ¿Árbol?", ["árbol"]),  # markers are written without accents, keywords keep theirs
        ("Mira https://example.org/gato y www.example.org", ["mira"]),
        ("R2D2 y 42 no son palabras", ["son", "palabras"]),
        ("", []),
    ],
)
def test_words_leave_the_personas_manner_out(text: str, words: list[str]) -> None:
    assert words_of(text, MARKERS) == words


def test_a_group_is_told_by_what_it_says_and_others_do_not() -> None:
    cats = [["gato", "miso", "casa"], ["gato", "miso"], ["gato", "casa"], ["gatos", "miso"]]
    rest = [["lluvia", "casa"], ["casa"], ["casa"], ["rust"]] * 10
    everything = cats + rest
    marked, rain = distinctive_words([cats, rest[:4]], everything)
    assert marked[:2] == ["gato", "miso"]
    assert "gatos" not in marked  # said once, and a form of gato
    assert "casa" not in marked  # said by nearly everybody
    assert rain == []  # said once in these four
    assert label_of([*marked, "x", "y"]) == "gato · miso · x"


def test_words_said_once_are_no_keywords() -> None:
    assert distinctive_words([[["uno"], ["dos"], ["tres"]]], [["uno"], ["dos"], ["tres"]]) == [[]]
    assert distinctive_words([], []) == []
