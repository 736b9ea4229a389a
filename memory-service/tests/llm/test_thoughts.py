"""Thoughts are cut out wherever the pieces of a stream happen to end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_service.llm.thoughts import ThoughtFilter, without_thoughts

WORDS = st.lists(st.sampled_from(["<think>", "</think>", "<", "t", "hola ", "<thinking>", "</thinking>", "<b>"]))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Hola.", "Hola."),
        ("<think>a</think>b<think>c</think>d", "bd"),
        ("a</think>b", "b"),
        ("a <think", "a <think"),
        ("a <think>b", "a"),
        ("<thinker>a</thinker>", "<thinker>a</thinker>"),
    ],
)
def test_a_whole_text(text: str, left: str) -> None:
    assert without_thoughts(text) == left


@given(WORDS, st.data())
def test_the_cuts_make_no_difference(words: list[str], data: st.DataObject) -> None:
    text = "".join(words)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    ends = [*cuts, len(text)]
    whole, pieced = ThoughtFilter(), ThoughtFilter()
    expected = whole.feed(text) + whole.end()
    said = [pieced.feed(text[start:end]) for start, end in zip([0, *cuts], ends, strict=True)]
    assert "".join(said) + pieced.end() == expected
    assert "<think>" not in expected.replace("<think><", "")
