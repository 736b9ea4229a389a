"""The rules mode's little grammar."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_service.memories.grammar import Statement, parse


@pytest.mark.parametrize(
    ("content", "statement"),
    [
        ("preference:theme=dark", Statement("preference", "theme", "dark")),
        ("  Fact : home town =  San Sebastián \n", Statement("fact", "home town", "San Sebastián")),
        ("fact:age=31", Statement("fact", "age", 31)),
        ("fact:height=1.7", Statement("fact", "height", 1.7)),
        ("preference:sound=false", Statement("preference", "sound", False)),
        ('fact:code="007"', Statement("fact", "code", "007")),
        ('preference:likes=["rain", "Rust"]', Statement("preference", "likes", ["rain", "Rust"])),
        ('system:login={"at": 3}', Statement("system", "login", {"at": 3})),
        ("event:formula=a=b", Statement("event", "formula", "a=b")),
        ("fact:ratio=NaN", Statement("fact", "ratio", "NaN")),
        ("fact:broken=[1, 2", Statement("fact", "broken", "[1, 2")),
    ],
)
def test_statements(content: str, statement: Statement) -> None:
    assert parse(content) == statement


@pytest.mark.parametrize(
    "content",
    [
        "Test",
        "",
        "preference:theme",
        "preference:=dark",
        "preference:theme=",
        "mood:today=fine",
        "I said: fact:a=b",
        f"fact:{'k' * 256}=x",
        "fact:two\nlines=x",
        "fact : = ",
    ],
)
def test_anything_else_says_nothing(content: str) -> None:
    assert parse(content) is None


@given(st.text(max_size=200))
def test_any_text_can_be_asked(content: str) -> None:
    found = parse(f"fact:key={content}")
    assert found is None or (found.key, found.type) == ("key", "fact")
    parse(content)


@given(
    st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cc",)), min_size=1).map(str.strip).filter(bool)
)
def test_a_quoted_text_comes_back_as_it_was(value: str) -> None:
    quoted = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    found: Any = parse(f"preference:note={quoted}")
    assert found.value == value
