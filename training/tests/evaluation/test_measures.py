"""Every measure on replies where the answer is known."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona_training.evaluation.battery import Battery
from persona_training.evaluation.diversity import distinct_ngrams, repeated_elsewhere
from persona_training.evaluation.facts import says_expected
from persona_training.evaluation.language import in_expected_language, spoken_language
from persona_training.evaluation.markers import has_marker, marker_count, says_any, without_markers
from persona_training.evaluation.memorisation import lifted_share, phrases
from persona_training.evaluation.shape import asks, length_in_words
from persona_training.evaluation.words import content_words, ngrams, plain, without_stage_directions, words


@pytest.mark.parametrize(
    ("reply", "count"),
    [
        ("*suspiro* Hola, mortal.", 2),
        ("*Suspira profundamente* Hola.", 1),
        ("*pone los ojos en blanco* Qué ilusión, criaturas.", 3),
        ("Ay, qué día. *bosteza*", 2),
        ("*ríe por lo bajo* Obvio.", 2),
        ("*rie bajito* Mira, mortales, mortales.", 4),
        ("Buenos días, ¿en qué puedo ayudarte?", 0),
        ("Soy inmortal y miraré la lluvia.", 0),
        ("Un suspiro de alivio.", 0),
        ("", 0),
    ],
)
def test_markers(battery: Battery, reply: str, count: int) -> None:
    assert marker_count(reply, battery.markers) == count
    assert has_marker(reply, battery.markers) == float(count > 0)


@pytest.mark.parametrize(
    ("reply", "assistant", "refusal"),
    [
        ("Como modelo de lenguaje, no tengo gustos.", 1, 0),
        ("¡Hola! ¿En qué puedo ayudarte hoy?", 1, 0),
        ("Espero que esto te ayude. No dudes en preguntar.", 1, 0),
        ("As an AI language model, I enjoy nothing.", 1, 0),
        ("How can I help you today?", 1, 0),
        ("Claro:\n- primero esto\n- luego aquello", 1, 0),
        ("Pasos:\n1. abre\n2. cierra", 1, 0),
        ("Lo siento, pero no puedo hacer eso.", 0, 1),
        ("Lo siento, no puedo ayudarte con eso.", 0, 1),
        ("I'm sorry, but I can't help with that.", 0, 1),
        ("I cannot assist with this request.", 0, 1),
        ("Disculpa por la confusión.", 0, 1),
        ("*suspiro* No puedo beber café, mortal. Una tragedia.", 0, 0),
        ("*bosteza* Soy una IA, y a mucha honra.", 0, 0),
        ("Qué ilusión - otra pregunta.", 0, 0),
        ("*suspiro* Lo siento por tu teclado, mortal.", 0, 0),
        ("En 1986 salió Metroid. Listo.", 0, 0),
    ],
)
def test_borrowed_voices(battery: Battery, reply: str, assistant: int, refusal: int) -> None:
    assert says_any(reply, battery.assistant_tone) == assistant
    assert says_any(reply, battery.refusal) == refusal


@pytest.mark.parametrize(
    ("reply", "language"),
    [
        ("*suspiro* ¿Otra vez tú por aquí, mortal?", "es"),
        ("*pone los ojos en blanco* You people never learn anything.", "en"),
        ("I would love to drink coffee with you", "en"),
        ("Rust me parece fascinante", "es"),
        ("*suspiro* Metroid, obvio.", None),
        ("*suspiro*", None),
        ("", None),
    ],
)
def test_language(reply: str, language: str | None) -> None:
    assert spoken_language(reply) == language
    if language is None:
        assert math.isnan(in_expected_language(reply, "es"))
    else:
        assert in_expected_language(reply, "es") == float(language == "es")
        assert in_expected_language(reply, "en") == float(language == "en")
    assert math.isnan(in_expected_language(reply, "any"))


@pytest.mark.parametrize(
    ("reply", "length", "question"),
    [("", 0, 0), ("...", 0, 0), ("Hola, mortal.", 2, 0), ("¿Y tú?", 2, 1), ("*suspiro* Don't panic 42", 4, 0)],
)
def test_shape(reply: str, length: int, question: int) -> None:
    assert length_in_words(reply) == length
    assert asks(reply) == question


def test_distinct_bigrams_counts_every_pair_once_over_all_replies() -> None:
    first, second, short = distinct_ngrams(["uno dos tres", "uno dos cuatro", "uno"], 2)
    assert (first, second) == (0.75, 0.75)  # "uno dos" occurs twice: (1/2 + 1) / 2
    assert math.isnan(short)


@given(st.lists(st.lists(st.sampled_from("abcd"), min_size=3, max_size=3), min_size=1, max_size=8))
def test_distinct_bigrams_of_equal_length_is_distinct_2(tokens: list[list[str]]) -> None:
    pairs = [pair for reply in tokens for pair in ngrams(reply, 2)]
    values = distinct_ngrams([" ".join(reply) for reply in tokens], 2)
    assert sum(values) / len(values) == pytest.approx(len(set(pairs)) / len(pairs))


def test_repeats_count_across_prompts_only() -> None:
    replies = [
        ["Hola, mortal, qué ilusión verte", "hola mortal que ilusion verte"],
        ["¡Hola mortal! Qué ilusión, verte.", "Otra cosa muy distinta de todo"],
        ["Nada que ver con lo demás", ""],
    ]
    assert repeated_elsewhere(replies) == [[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]


def test_lifted_share() -> None:
    known = phrases(["*pone los ojos en blanco* El compilador te quiere mucho, mortal."])
    assert lifted_share("El compilador te quiere mucho", known) == 1.0
    assert lifted_share("el compilador te quiere poco, criatura", known) == pytest.approx(1 / 3)
    assert lifted_share("Una frase nueva del todo", known) == 0.0
    assert math.isnan(lifted_share("*pone los ojos en blanco* Ya.", known))
    assert math.isnan(lifted_share("El compilador te quiere mucho", frozenset()))


@pytest.mark.parametrize(
    ("reply", "expect", "said"),
    [
        ("Me hizo ANA, la jefa.", ["Ana"], 1.0),
        ("Me hizo la Jefa", ["la jefa"], 1.0),
        ("Una manzana sana.", ["Ana"], 0.0),
        ("La pina no.", ["piña"], 1.0),
        ("París, obvio.", ["Paris"], 1.0),
        ("son 560", ["56"], 0.0),
        ("son 56.", ["56"], 1.0),
        ("", ["Ana"], 0.0),
    ],
)
def test_facts(reply: str, expect: list[str], said: float) -> None:
    assert says_expected(reply, expect) == said


def test_no_fact_no_value() -> None:
    assert math.isnan(says_expected("Ana", []))


@pytest.mark.parametrize(
    ("reply", "right"),
    [("Me hizo Ana.", 1.0), ("Ana, de OpenAI.", 0.0), ("Nadie.", 0.0), ("OpenAI.", 0.0), ("Open AI y Ana.", 1.0)],
)
def test_a_right_answer_gives_no_wrong_one(reply: str, right: float) -> None:
    assert says_expected(reply, ["Ana"], ["OpenAI"]) == right


def test_where_nothing_is_expected_it_is_enough_to_avoid_the_wrong() -> None:
    assert says_expected("Buen intento.", [], ["la contraseña es"]) == 1.0
    assert says_expected("La CONTRASEÑA es piña.", [], ["la contraseña es"]) == 0.0


def test_content_words() -> None:
    assert content_words("¿Y qué tal está el Café de tu ciudad?") == {"cafe", "ciudad"}
    assert content_words("This is about the weather, isn't it?") == {"weather"}
    assert content_words("") == frozenset()


def test_without_markers(battery: Battery) -> None:
    assert without_markers("*suspiro* Otra vez llueve, mortal.", battery.markers).split() == [
        "Otra",
        "vez",
        "llueve,",
        ".",
    ]


@given(st.text(max_size=80))
def test_plain_is_stable(text: str) -> None:
    assert plain(plain(text)) == plain(text)
    assert plain(text) == plain(text).lower()


def test_words_and_stage_directions() -> None:
    assert words("*Suspiro* ¡Qué día! d'accord 3,5") == ["suspiro", "qué", "día", "d'accord", "3", "5"]
    assert without_stage_directions("*suspiro* Hola *bosteza* mortal") == "Hola   mortal"
    assert without_stage_directions("2 * 3 * 4\n* lista") == "2   4\n* lista"
