"""What a text is indexed under (`f_terms`): words in the forms a question may use, in Spanish and in English, and its marks."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory_service.db import Database
from sqlalchemy import text

# A lexeme's positions beyond this are not kept by PostgreSQL, so no word counts for more.
MOST = 255


async def terms_of(database: Database, said: str | None) -> dict[str, int]:
    """The terms of `said`, each with how often it is there."""
    async with database.unowned() as connection:
        rows = await connection.execute(text("SELECT term, times FROM f_terms(:said)"), {"said": said})
        return {row.term: row.times for row in rows}


async def words_of(database: Database, said: str) -> set[str]:
    return {term for term in await terms_of(database, said) if not term.startswith("@")}


async def marks_of(database: Database, said: str) -> set[str]:
    return {term for term in await terms_of(database, said) if term.startswith("@")}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        # Stem, plain word without accents, and the root of what is longer than five letters.
        ("gatos", {"gat": 1, "gato": 1, "gatos": 1}),  # in neither language: the stems of both
        ("Mis gatos", {"gat": 1, "gatos": 1}),
        ("la habitación", {"habit": 1, "habitacion": 1, "~habit": 1}),
        ("el niño", {"niñ": 1, "nino": 1}),
        ("The children were running", {"children": 1, "run": 1, "running": 1, "~child": 1, "~runni": 1}),
        # How often: of a stem, of all its words.
        ("El perro y los perros", {"perr": 2, "perro": 1, "perros": 1, "~perro": 1}),
        ("Vive desde 2019 en Lugo", {"viv": 1, "vive": 1, "2019": 1, "lug": 1, "lugo": 1}),  # a number has no root
        ("", {}),
        (" \n\t", {}),
        ("¿¡…!? «» 😀", {}),
        ("de la que", {}),
        ("I was there", {}),
    ],
)
async def test_a_text_has_these_terms(database: Database, said: str, expected: dict[str, int]) -> None:
    assert await terms_of(database, said) == expected


async def test_no_text_has_no_terms(database: Database) -> None:
    assert await terms_of(database, None) == {}


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("Mi habitación es azul", "mi habitacion"),  # accents typed or not, on either side
        ("mi habitacion es azul", "¿Y la HABITACIÓN?"),
        ("El año pasado", "que ano"),
        ("Le gusta el café", "cafe"),
        ("a naïve café", "naive"),
        ("El nino duerme", "¿y el niño?"),
        ("Tengo dos gatos", "¿Cómo es el gato?"),  # plurals
        ("I have two dogs and I like them", "Where is the dog?"),
        ("Las luces de la casa", "la luz de la casa, ¿luces?"),
        ("Ayer canté en el coro", "¿Cuándo cantaba en el coro? cantar"),  # verbs
        ("We were running in the park", "When did they run?"),
        ("Trabajo en un banco", "¿Dónde es trabajadora?"),  # relatives that a stemmer keeps apart
        ("She is a photographer", "Which photography does she like?"),
        ("Mi «fiesta» fue horrible", "la fiesta"),  # signs around a word
        ("¡¿Fiesta?!", "la fiesta"),
        ("La “fiesta”…", "fiesta"),
        ("🎉fiesta🎉", "fiesta"),
        ("It was a 'party'", "the party"),
        ("la fiesta-sorpresa", "¿qué sorpresa?"),  # parts of a compound
        ("Ana: tengo un gato", "¿Qué tiene Ana?"),  # a speaker's name is a word, too
        ("Mira http://example.com/gatos", "example.com"),
        ("GATO", "gato"),
    ],
)
async def test_forms_of_a_word_meet(database: Database, said: str, asked: str) -> None:
    assert await words_of(database, said) & await words_of(database, asked)


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("Tengo un gato", "I like a cup of tea"),
        ("la mesa de la playa", "el museo del jugador"),
        ("Es de la que te he hablado", "Lo que se ha dicho de ella"),  # stop words alone
        ("It was there with them", "This is what they had"),
        ("Es la de Madrid", "This is the one of London"),
        ("Llegó a las 12:45", "a las 9:30"),
    ],
)
async def test_other_words_do_not(database: Database, said: str, asked: str) -> None:
    assert not await words_of(database, said) & await words_of(database, asked)


@pytest.mark.parametrize(
    ("said", "left_out", "kept"),
    [
        ("Ellos son de Lugo y no están", {"son", "de", "no", "ellos"}, {"lug"}),
        ("My son is at the school with us", {"my", "is", "at", "the"}, {"son", "school"}),  # no stop word in English
        ("You were there, but he is not", {"you", "were", "there", "but", "he", "is", "not"}, set()),
        ("I was in the theatre with you", {"i", "was", "in", "the", "with", "you"}, {"theatr"}),
        ("No está en la oficina de ella", {"no", "esta", "en", "la", "de", "ella"}, {"oficin"}),
    ],
)
async def test_words_that_hold_a_sentence_together_are_left_out(
    database: Database, said: str, left_out: set[str], kept: set[str]
) -> None:
    words = await words_of(database, said)
    assert not words & left_out
    assert words >= kept


@pytest.mark.parametrize(
    ("said", "speaker"),
    [
        ("Ana: hola", "ana"),
        ("  Ana: hola", "ana"),
        ("JOSÉ LUIS: ¿qué tal?", "jose luis"),
        ("Begoña Ñ.: hola", "begona n."),
        ("user: hola\nassistant: buenas", "user"),  # who begins
        ("Ana:\nhola", "ana"),
        ("Nota: comprar pan", "nota"),  # as good as a name: nobody asks for what Nota said
    ],
)
async def test_who_speaks_is_marked(database: Database, said: str, speaker: str) -> None:
    assert [mark for mark in await marks_of(database, said) if mark.startswith("@by")] == [f"@by {speaker}"]


async def test_on_either_side_of_an_exchange_who_speaks_is_marked(database: Database) -> None:
    marks = await marks_of(database, "Ana: ¿qué tal?\x1eJosé: bien, ayer: nada")
    assert marks == {"@by ana", "@by jose", "@when"}


@pytest.mark.parametrize(
    "said",
    [
        "hola",
        "http://example.com/a es una página",
        "https://example.com",
        "12:30 quedamos en el bar",
        "Quedamos a las 12:30",
        "Ana:hola",
        ": hola",
        "Y entonces me dijo con mucha calma delante de todos: hola",  # no name is that long
        "hola\nAna: buenas",
        "",
    ],
)
async def test_nobody_is_marked_where_nobody_speaks(database: Database, said: str) -> None:
    assert not {mark for mark in await marks_of(database, said) if mark.startswith("@by")}


@pytest.mark.parametrize(
    ("said", "asks"),
    [
        ("¿Vienes?", True),
        ("Are you coming?", True),
        ("Vienes?  ", True),
        ("Me dijo: «¿vienes?»", True),
        ('"Are you coming?"', True),
        ("(¿Vienes?)", True),
        ("¿Vienes? Yo no.", False),
        ("Voy.", False),
        ("¿", False),
        ("", False),
    ],
)
async def test_a_question_is_marked(database: Database, said: str, asks: bool) -> None:
    assert ("@asks" in await marks_of(database, said)) is asks


@pytest.mark.parametrize(
    ("said", "tells"),
    [
        ("Yesterday I went to the cinema", True),
        ("I saw her last week", True),
        ("We met two years ago", True),
        ("They married in 2019", True),
        ("My exam is on Friday", True),
        ("In May we go to Rome", True),
        ("I may go to Rome", False),
        ("The yesterdays of my life", False),
        ("Fui AYER al cine", True),
        ("La semana pasada la vi", True),
        ("La vi hace tres dias", True),
        ("La vi hace tres días", True),
        ("Nos conocimos el año pasado", True),
        ("Se casaron en 2019", True),
        ("El examen es el próximo lunes", True),
        ("El examen es el 3 de enero", True),
        ("Mañana voy", True),
        ("La vi esta semana", True),
        ("Tiene mil hojas", False),
        ("Hace frío", False),
        ("Vive en 2 casas", False),
        ("", False),
    ],
)
async def test_a_told_time_is_marked(database: Database, said: str, tells: bool) -> None:
    assert ("@when" in await marks_of(database, said)) is tells


async def test_a_very_long_text_is_counted_as_far_as_postgresql_keeps_positions(database: Database) -> None:
    long = "zanahoria " * 5_000 + "remolacha?"
    assert await terms_of(database, long) == {
        "zanahori": MOST, "zanahoria": MOST, "~zanah": MOST, "remolach": 1, "remolacha": 1, "~remol": 1, "@asks": 1
    }  # fmt: skip
    await terms_of(database, "a" * 50_000)  # one word without end


async def test_the_end_of_a_text_is_its_last_two_hundred_characters(database: Database) -> None:
    async with database.unowned() as connection:
        ends = [await connection.scalar(text("SELECT f_end(:said)"), {"said": said}) for said in ("hola", "ñ" * 300)]
    assert ends == ["hola", "ñ" * 200]


@given(said=st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=80))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
async def test_whatever_is_said_its_terms_are_counted_and_whole(database: Database, said: str) -> None:
    terms = await terms_of(database, said)
    assert all(term and 1 <= times <= MOST for term, times in terms.items())
    assert await terms_of(database, said) == terms
