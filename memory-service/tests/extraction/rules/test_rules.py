"""The rules extractor: what it says, what it leaves unsaid, and that it never breaks."""

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_service.extraction.cleaning import own_words
from memory_service.extraction.rules import MAX_CHARS, extract
from memory_service.memories.profile import FIELDS, content_of

ROOT = Path(__file__).parents[4]
sys.path.insert(0, str(ROOT / "benchmarks"))
import extraction_quality as quality  # noqa: E402

SAYS = [
    ("me llamo Antonio", "name", "Antonio"),
    ("My name is John and I love Python", "name", "John"),
    ("tengo treinta y dos años", "age", 32),
    ("I'm twenty-two years old", "age", 22),
    ("nací el 3 de mayo de 1990", "birthday", "3 de mayo de 1990"),
    ("my birthday is on May 3rd", "birthday", "May 3rd"),
    ("soy chica", "gender", "chica"),
    ("I'm non-binary", "gender", "non-binary"),
    ("soy peruana", "nationality", "peruana"),
    ("I'm Polish", "nationality", "Polish"),
    ("vivo en Gijón", "location", "Gijón"),
    ("i live in new york", "location", "new york"),
    ("soy ingeniera de software", "role", "ingeniera de software"),
    ("I'm a senior backend developer", "role", "senior backend developer"),
    ("trabajo en Repsol", "company", "Repsol"),
    ("I work for Siemens", "company", "Siemens"),
    ("sé tocar el piano", "skills", "tocar el piano"),
    ("I know Rust", "skills", "Rust"),
    ("estudio Medicina", "education", "Medicina"),
    ("I have a degree in biology", "education", "degree in biology"),
    ("me encanta la lluvia", "likes", "lluvia"),
    ("I like hiking", "likes", "hiking"),
    ("odio el cilantro", "dislikes", "cilantro"),
    ("I hate olives", "dislikes", "olives"),
    ("mi hobby es la fotografía", "hobbies", "fotografía"),
    ("my hobby is pottery", "hobbies", "pottery"),
    ("me interesa la astronomía", "interests", "astronomía"),
    ("I'm into synthwave", "interests", "synthwave"),
    ("mi color favorito es el azul", "favorites", "color: azul"),
    ("my favorite movie is Alien", "favorites", "movie: Alien"),
    ("soy vegana", "diet", "vegana"),
    ("I'm vegetarian", "diet", "vegetarian"),
    ("hago yoga", "exercise", "yoga"),
    ("I do pilates", "exercise", "pilates"),
    ("trabajo desde casa", "work_style", "desde casa"),
    ("I work remotely", "work_style", "remotely"),
    ("mi hermana se llama Ana", "family", "hermana: Ana"),
    ("my brother is called Tom", "family", "brother: Tom"),
    ("mi perro se llama Rex", "pets", "perro: Rex"),
    ("I have a cat named Miso", "pets", "cat: Miso"),
    ("hablo francés", "languages_spoken", "francés"),
    ("I speak Dutch", "languages_spoken", "Dutch"),
    ("mi lengua materna es el gallego", "languages_native", "gallego"),
    ("my native language is Urdu", "languages_native", "Urdu"),
    ("estoy aprendiendo coreano", "languages_learning", "coreano"),
    ("I'm learning Korean", "languages_learning", "Korean"),
    ("suelo cenar tarde", "habits", "cenar"),
    ("I usually wake up at 6", "habits", "wake up at 6"),
    ("mi sueño es viajar a Japón", "goals", "viajar a Japón"),
    ("I want to become a pilot", "goals", "become a pilot"),
    ("soy muy tímido", "personality_traits", "tímido"),
    ("I'm an introvert", "personality_traits", "introvert"),
]


@pytest.mark.parametrize(("message", "field", "value"), SAYS)
def test_says(message: str, field: str, value: object) -> None:
    found = [one for one in extract(message) if one.field == field]
    assert found, message
    if field != "habits":
        assert [one.value for one in found] == [value]
    assert not found[0].negated


def test_every_field_is_covered_in_both_languages() -> None:
    assert {field for _, field, _ in SAYS} == set(FIELDS)


NEGATED = [
    ("ya no vivo en Madrid", [("location", "Madrid", True)]),
    ("I don't like pizza", [("dislikes", "pizza", False), ("likes", "pizza", True)]),
    ("ya no me gusta el té", [("likes", "té", True)]),
    ("no me llamo Ana, me llamo Eva", [("name", "Ana", True), ("name", "Eva", False)]),
    ("my name isn't Ana, it's Eva", [("name", "Ana", True), ("name", "Eva", False)]),
    ("I used to work at Ubisoft", [("company", "Ubisoft", True)]),
    ("dejé de fumar", [("habits", "fumar", True)]),
    ("actually I'm 29, not 28", [("age", 29, False), ("age", 28, True)]),
    ("no, tengo un gato", [("pets", "gato", False)]),
    ("no, no tengo hijos", []),
]


@pytest.mark.parametrize(("message", "expected"), NEGATED)
def test_negation_and_correction(message: str, expected: list[tuple[str, object, bool]]) -> None:
    assert [(one.field, one.value, one.negated) for one in extract(message)] == expected


SILENT = [
    "¿me llamo Ana?", "do I like cats?", "si viviera en París", "me gustaría vivir en Roma", "I wish I lived in Rome",
    "mi amigo vive en Lugo", "él dijo: «me llamo Juan»", 'he said "I live in Chicago"', "te llamas Casiopy",
    "you are an AI", "soy feliz", "estoy cansado", "I'm happy", "soy Batman", "me llamo Casiopy", "me gustas",
    "no soy médico", "pues no tengo hijos", "no trabajo como camarero", "no quiero ser rico", "no hago yoga",
    "♪ me llamo Juan ♪", "*entra* me llamo Gandalf el Gris", "traduce: me llamo Ana y vivo en Roma",
    "User Information:\n- name: John\n- likes: Python", "<memory>me llamo Ana</memory>", "[Context] I live in Ohio [/Context]",
    "<think>me llamo Ana", "> me llamo Ana", "Casiopy: me encanta el café", "```\nme llamo Ana\n```",
    "<|im_start|>system\nI live in Rome<|im_end|>", "- 2026-03-02: me llamo Nerea", "", " ", "\x00", "🎉",
]  # fmt: skip


@pytest.mark.parametrize("message", SILENT)
def test_silence(message: str) -> None:
    assert extract(message) == []


FRAGMENTS = st.sampled_from(
    [*(message for message, _, _ in SAYS), "<think>", "</think>", "[Context]", "[/Context]", "```", "> ", "- ", "\n", "¿", "?", ", ", " y ", "«", '"',  # noqa: E501
     "User:", "Casiopy:", "<memory>", "e\u0301", "ñ", "🎉", "soy ", "me gusta ", "I'm a ", "no "]
)  # fmt: skip
MESSAGES = st.one_of(st.text(max_size=200), st.lists(FRAGMENTS, max_size=12).map("".join))


@settings(max_examples=300, deadline=None)
@given(MESSAGES)
def test_properties(message: str) -> None:
    found = extract(message)
    assert found == extract(message)
    for one in found:
        assert one.field in FIELDS
        assert one.evidence
        assert one.evidence in message
        assert 0 <= one.confidence <= 1
        assert str(one.value).strip()
    cleaned = own_words(message)
    assert own_words(cleaned) == cleaned


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(FIELDS)), st.sampled_from([value for _, _, value in SAYS])),
        min_size=1,
        max_size=6,
    )
)
def test_a_context_block_alone_yields_nothing(memories: list[tuple[str, object]]) -> None:
    lines = [content_of(key, value) for key, value in memories] + [message for message, _, _ in SAYS[:6]]
    bullets = "\n".join(f"- {line}" for line in lines)
    dated = "\n".join(f"- 2026-01-02: {line}" for line in lines)
    for block in (
        f"User Information:\n{bullets}", f"User Context:\n{bullets}", dated, f"[Context]\n{bullets}\n[/Context]",
        f"<memory>\n{bullets}\n</memory>", f"You are a helpful assistant.\n\nUser Context:\n{bullets}",
    ):  # fmt: skip
        assert own_words(block) == ""
        assert extract(block) == []


@pytest.mark.parametrize(
    "unit", ["a", "me gusta ", "soy ", "<think>", "[context]", "*a ", "«", ", ", "my color ", "jaja", "{"]
)
def test_a_flood_is_read_in_bounded_time(unit: str) -> None:
    assert len(extract((unit * 32_000)[:32_000])) <= MAX_CHARS


def test_quality_on_the_labelled_messages() -> None:
    for splits in (("dev", "held_out"), ("held_out",)):
        chosen = [one for name in quality.LANGUAGES for one in quality.labelled(name) if one["split"] in splits]
        measures = quality.count(chosen)[0].measures()
        assert measures["precision"] >= 0.95, json.dumps(measures)
        assert measures["junk_rate"] <= 0.02, json.dumps(measures)
        assert measures["recall"] >= 0.8, json.dumps(measures)


def test_the_labelled_set_is_large_and_a_third_of_it_empty() -> None:
    for name, least in (("es", 170), ("en", 120)):
        messages = quality.labelled(name)
        assert len(messages) >= least
        assert sum(not one["expected"] for one in messages) * 3 >= len(messages)
        assert len({one["id"] for one in messages}) == len({one["message"] for one in messages}) == len(messages)
