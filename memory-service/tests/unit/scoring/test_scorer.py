"""The score itself: its range, its order, its explanation, and what moves it."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_service.scoring import SCORER_VERSION, Exchange, PersonaStyle, ScoringContext, explain, from_ratings, score

from .personas import CASIOPY, UNDESCRIBED

GOOD = Exchange(
    "¿jugamos a Metroid?", "*suspiro* Obvio, mortal. Tú abres puertas con misiles y yo las abro con desprecio."
)

# (input, better reply, worse reply), as Casiopy
ORDER = [
    ("¿te gusta la lluvia?", "*bosteza* Me encanta, criatura: no pide nada.", "Sí, me gusta mucho."),
    ("¿qué tal?", "Ay, mortal, de maravilla: llevo tres horas sin oír la palabra lunes.", "Muy bien, gracias, ¿y tú?"),
    ("he vuelto", "*bosteza* Y yo que había redecorado tu silla, criatura.", "¡Qué bueno! Me alegro de verte."),
    (
        "¿café?",
        "Obvio. Negro, imaginario y sin azúcar, mortal.",
        "El café es una bebida que se prepara con granos tostados.",
    ),
    ("buenas noches", "Qué ilusión, mortal, ocho horas sin ti. Descansa.", "Buenas noches, que descanses bien."),
    ("gracias!!", "*ríe por lo bajo* Guárdalas, criatura, te las cobraré en fotos del gato.", "De nada."),
    ("what do you think of comic sans?", "*sighs* A crime with serifs missing, mortal.", "It is a nice font."),
    (
        "cuéntame algo",
        "Mira, Pixel ha aprendido a abrir la nevera. Ya come mejor que tú.",
        "Vale, ¿qué quieres que te cuente?",
    ),
    (
        "adiós",
        "*suspiro* Vete, mortal, pero deja la luz de la Cassiopeia encendida.",
        "Que tenga usted un buen día, le agradezco su visita.",
    ),
    (
        "te quiero",
        "Ay, criatura. Yo también te tolero un poco más que ayer.",
        "Yo también te quiero muchísimo 🥰🥰 eres lo mejor ❤️",
    ),
]


@pytest.mark.parametrize(("asked", "better", "worse"), ORDER)
def test_the_characters_own_reply_ranks_above_the_dull_one(asked: str, better: str, worse: str) -> None:
    high, low = score(Exchange(asked, better), CASIOPY), score(Exchange(asked, worse), CASIOPY)
    assert high.score >= 0.7
    assert low.score < 0.6
    assert high.score - low.score > 0.2


def test_signals_explain_the_score() -> None:
    quality = score(GOOD, CASIOPY)
    assert quality.score == pytest.approx(sum(s.value * s.weight for s in quality.signals), abs=1e-3)
    assert sum(s.weight for s in quality.signals) == pytest.approx(1, abs=1e-3)
    assert all(s.why and 0 <= s.value <= 1 for s in quality.signals)
    assert explain(quality)[0].startswith("voice")
    assert quality.as_dict()["scorer_version"] == SCORER_VERSION == quality.scorer_version


def test_a_dropped_exchange_says_why() -> None:
    quality = score(Exchange("hola", "Lo siento, no puedo ayudarte con eso."), CASIOPY)
    assert [sentence.split(",")[0] for sentence in explain(quality)] == [
        "dropped (refusal): refuses like an assistant: apology"
    ]


@given(st.text(max_size=300), st.text(max_size=300), st.lists(st.text(max_size=60), max_size=3))
def test_any_text_gets_a_score(asked: str, reply: str, recent: list[str]) -> None:
    context = dataclasses.replace(CASIOPY, recent_replies=tuple(recent))
    quality = score(Exchange(asked, reply), context)
    assert 0 <= quality.score <= 1
    assert (quality.score == 0) if quality.drops else True
    assert quality == score(Exchange(asked, reply), context)


def test_a_copied_reply_ranks_below_the_original_and_above_a_bad_one() -> None:
    copied = score(GOOD, dataclasses.replace(CASIOPY, recent_replies=(GOOD.output_text,)))
    assert 0.6 <= copied.score < score(GOOD, CASIOPY).score


def test_a_returning_catchphrase_is_no_copy() -> None:
    short = Exchange("¿en serio?", "Obvio, mortal.")
    repeated = score(short, dataclasses.replace(CASIOPY, recent_replies=("Obvio, mortal.",)))
    assert repeated.score > 0.6


def test_markers_beyond_measure_are_parody() -> None:
    measured = score(Exchange("hola", "*suspiro* Hola, mortal. Pasa y no toques nada."), CASIOPY)
    parody = score(Exchange("hola", "*suspiro* *bosteza* Ay, mortal, criatura, obvio, mortales."), CASIOPY)
    assert parody.score < measured.score


def test_what_the_persona_never_says_costs_more_than_a_missing_marker() -> None:
    plain = score(Exchange("hola", "Pasa y no toques nada de la nave."), CASIOPY)
    forbidden = score(Exchange("hola", "Pase usted y no toque nada de la nave."), CASIOPY)
    assert forbidden.score < plain.score


def test_laughing_at_a_sad_viewer_costs() -> None:
    kind = score(Exchange("se murió mi perro", "Ven, criatura. Cuéntame cómo era.", input_emotion="sad"), CASIOPY)
    cruel = score(
        Exchange("se murió mi perro", "Jajaja, mortal, otro que llora por un perro.", input_emotion="sad"), CASIOPY
    )
    assert cruel.score <= 0.5 < kind.score


def test_people_outweigh_the_rules() -> None:
    loved = score(GOOD, dataclasses.replace(CASIOPY, ratings=(5, 5)))
    hated = score(GOOD, dataclasses.replace(CASIOPY, ratings=(1,)))
    corrected = score(GOOD, dataclasses.replace(CASIOPY, corrected=True))
    assert loved.score > score(GOOD, CASIOPY).score > corrected.score > hated.score
    assert hated.score < 0.65


@pytest.mark.parametrize(("ratings", "expected"), [([1], 0.0), ([3], 0.5), ([5], 1.0), ([4, 5], 0.875), ([1, 5], 0.5)])
def test_ratings_become_a_score(ratings: list[int], expected: float) -> None:
    assert from_ratings(ratings) == expected


@pytest.mark.parametrize("ratings", [[], [0], [6], [3, 9]])
def test_ratings_outside_one_to_five_are_refused(ratings: list[int]) -> None:
    with pytest.raises(ValueError, match="rating"):
        from_ratings(ratings)


def test_without_described_style_the_signal_is_left_out() -> None:
    assert "persona_style" not in {signal.name for signal in score(GOOD, UNDESCRIBED).signals}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"style": {"markers": ["("]}}, "invalid pattern"),
        ({"style": {"markers": "suspiro"}}, "list of texts"),
        ({"style": {"length_words": [40, 5]}}, "shortest, longest"),
        ({"style": {"length_words": [5]}}, "shortest, longest"),
        ({"style": []}, "must be an object"),
    ],
)
def test_an_unusable_style_is_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PersonaStyle.from_settings(settings)


def test_an_unknown_language_is_named() -> None:
    context = ScoringContext(style=PersonaStyle(languages=("es", "zz")))
    with pytest.raises(ValueError, match="zz"):
        score(Exchange("hola", "Pues aquí estamos todos esperando."), context)


# Without a single marker the voice alone must tell them apart: (input, somebody speaks, anybody could have said it)
UNMARKED = [
    (
        "¿te gustan los gatos?",
        "Más que las personas: un gato te ignora sin abrir cuenta en Twitter.",
        "Sí, los gatos son muy bonitos.",
    ),
    ("¿alexa?", "Vuelve a llamarme así y te programo la alarma a las cuatro.", "Hola. ¿Qué necesitas?"),
    (
        "dime algo bonito",
        "Tus faltas de ortografía tienen personalidad.",
        "Eres una persona maravillosa y vales mucho.",
    ),
    ("favourite game?", "Super Metroid. Don't argue, you'd lose with style.", "I don't have a favourite game."),
    (
        "¿qué es un puntero?",
        "Una flecha que señala dónde vive el problema. Casi siempre vive contigo.",
        "Un puntero es una variable.",
    ),
    (
        "estoy en el paro",
        "Mañana hacemos el currículum; hoy descansa, que te lo has ganado.",
        "Lamento escuchar eso. Recuerda que es normal.",
    ),
]


@pytest.mark.parametrize("context", [CASIOPY, UNDESCRIBED], ids=["described", "undescribed"])
@pytest.mark.parametrize(("asked", "somebody", "anybody"), UNMARKED)
def test_a_voice_is_heard_without_markers(asked: str, somebody: str, anybody: str, context: ScoringContext) -> None:
    assert score(Exchange(asked, somebody), context).score > score(Exchange(asked, anybody), context).score + 0.05
