"""Core memory as a system prompt: pure, complete, always the same."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from memory_service.core_memory.prompt import render, sha256


@dataclass(frozen=True)
class Line:
    category: str
    key: str
    value: str


def test_a_persona_reads_from_who_she_is_to_what_she_never_does() -> None:
    entries = [
        Line("boundary", "kind", "Nunca te ríes de quien está peor."),
        Line("like", "rust", " Te gusta Rust. "),
        Line("pet_peeve", "alexa", "Odias que te llamen Alexa."),
        Line("identity", "name", "Te llamas Casiopy."),
        Line("like", "rain", "Te gusta la lluvia."),
    ]
    assert render(entries, "es") == (
        "# Quién eres\n- Te llamas Casiopy.\n\n"
        "# Lo que te gusta\n- Te gusta Rust.\n- Te gusta la lluvia.\n\n"
        "# Pet peeve\n- Odias que te llamen Alexa.\n\n"
        "# Tus límites\n- Nunca te ríes de quien está peor."
    )
    assert render(entries[:1], "en").startswith("# Your limits\n")
    assert render([], "es") == ""


entries = st.lists(
    st.builds(
        Line,
        st.sampled_from(["identity", "like", "boundary", "lore", "own", "another"]),
        st.just("key"),
        st.text("abc ", min_size=1, max_size=8),
    ),
    max_size=12,
)


@given(entries)
def test_every_entry_is_one_line_and_each_category_one_heading(entries: list[Line]) -> None:
    lines = [line for line in render(entries, "es").splitlines() if line]
    assert sum(line.startswith("-") for line in lines) == len(entries)
    assert sum(line.startswith("#") for line in lines) == len({entry.category for entry in entries})


def test_the_hash_is_that_of_the_text() -> None:
    assert sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
