"""No planted personal data survives, the allow-list stays, redacting twice changes nothing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_service.exports.redaction import REDACTION_VERSION, Redactor, introduced_names
from stdnum import luhn
from stdnum.es import dni

VIEWERS = {"lunaroja": ["Lucía"], "profe_quark": [], "rata_de_biblio": [], "ana_lajefa": [], "luna": []}
ALLOWED = ["Casiopy", "Ana", "ana_lajefa", "Pixel", "casiopy_oficial"]


def redactor(key: str = "7") -> Redactor:
    return Redactor(key, VIEWERS, ALLOWED)


# (kind, text, what must be gone)
PLANTED = [
    ("email", "mi correo: marina.baja@example.org, vale?", "marina"),
    ("email", "escribe a ana arroba correo punto es porfa", "correo punto"),
    ("email", "john [at] mail [dot] com is me", "john"),
    ("email", "soy josé.niño+web@correo.com.mx", "correo.com"),
    ("phone", "llámame al 612 345 678", "345"),
    ("phone", "mi móvil es 612345678.", "612345678"),
    ("phone", "el fijo: 91-234-56-78", "234"),
    ("phone", "es +34 655 443 322", "443"),
    ("phone", "0034 655443322 de día", "655443322"),
    ("phone", "México: +52 55 1234 5678", "1234"),
    ("phone", "en CDMX 55 5658 1111", "5658"),
    ("phone", "Buenos Aires +54 9 11 2345-6789", "2345"),
    ("phone", "Bogotá +57 310 555 1234", "555"),
    ("phone", "call (212) 555-2368 tonight", "2368"),
    ("phone", "6.1.2.3.4.5.6.7.8", "6.1.2"),
    ("id", "mi DNI, 12345678Z, ¿vale?", "12345678"),
    ("id", "12345678-z", "12345678"),
    ("id", "dni 12.345.678-Z", "345"),
    ("id", "el NIE X1234567L", "1234567"),
    ("id", "mi DNI es 12345678A (mal escrito)", "12345678"),
    ("id", "pasaporte: AAB123456", "123456"),
    ("id", "SSN 536-90-4399", "4399"),
    ("id", "mi cédula es 1032456789", "1032456789"),
    ("iban", "ES91 2100 0418 4502 0005 1332 gracias", "2100"),
    ("iban", "a ES7921000813610123456789", "ES79"),
    ("iban", "DE89 3704 0044 0532 0130 00 bitte", "3704"),
    ("iban", "es00 2100 0418 4502 0005 1332", "0418"),
    ("card", "la tarjeta 4111 1111 1111 1111", "1111"),
    ("card", "5555-5555-5555-4444", "4444"),
    ("card", "amex 378282246310005", "378282"),
    ("card", "con un fallo 4111 1111 1111 1112", "1112"),
    ("secret", "entra en https://ana:secreto@casa.example/panel", "secreto"),
    ("secret", "https://api.example/x?token=abc123def", "abc123def"),
    ("secret", "mi perfil https://instagram.com/luna.roja.99", "luna.roja"),
    ("secret", "usa sk-ABCDEFGHIJKLMNOPQRST y ya", "ABCDEFGH"),
    ("ip", "mi ip es 83.44.12.7 xd", "83.44"),
    ("ip", "2001:db8:85a3::8a2e:370:7334", "8a2e"),
    ("address", "Vivo en la calle del Tozal 14, 2.º A, 44001 Teruel, ven", "Tozal"),
    ("address", "avenida de la Constitución 8, 41004 Sevilla", "Constitución"),
    ("address", "en la calle Autonomía 21, 4.º izquierda, 48012 Bilbao", "Autonomía"),
    ("address", "c/ Mayor 3", "Mayor"),
    ("address", "av. reforma 222 piso 3", "reforma"),
    ("address", "Paseo de Gracia, 43", "Gracia"),
    ("address", "Carrera 7 # 32-16", "32-16"),
    ("address", "I live at 221B Baker Street, London", "Baker"),
    ("address", "send it to 742 Evergreen Terrace", "Evergreen"),
    ("address", "1600 Pennsylvania Ave NW, Washington DC 20500", "Pennsylvania"),
    ("address", "código postal 28013", "28013"),
    ("address", "estoy en 40.416775, -3.703790", "416775"),
    ("handle", "sígueme: @pepito_99", "pepito"),
    ("handle", "discord: Gatito#1234", "Gatito"),
    ("handle", "mi insta es gatito.feliz", "gatito"),
]


@pytest.mark.parametrize(("kind", "text", "gone"), PLANTED)
def test_personal_data_is_taken_out(kind: str, text: str, gone: str) -> None:
    redacted = redactor().redact(text)
    assert gone.casefold() not in redacted.text.casefold(), redacted.text
    assert kind in redacted.by_kind()
    for found in redacted.found:
        assert text[found.start : found.end].strip()


KEPT = [
    "llevo 3 horas en la calle con 2 gatos",
    "la carrera dura 20 minutos y el paseo 5",
    "gané 1.234.567 puntos en el nivel 12",
    "directo a las 20:00:30 del 2026-01-05",
    "la versión 1.2.3 de std::vec rompe todo",
    "127.0.0.1 es mi hogar",
    "pi es 3.14159265358979",
    "a 5 miles down the road",
    "quedamos el 21/12/2025 a las 19:30",
    "me quedan 100000000 monedas",
    "Metroid 2: Return of Samus salió en 1991",
    "@Casiopy y @ana_lajefa mandan",
    "Ana dice que Pixel duerme",
    "https://doc.rust-lang.org/book/ch04-01.html",
    "1 + 1 = 2, 10 - 3 = 7, 6 x 7 = 42",
    "calle de la amargura, sin número",
]


@pytest.mark.parametrize("text", KEPT)
def test_what_is_nobodys_business_but_everybodys_stays(text: str) -> None:
    assert redactor().redact(text, "profe_quark").text == text


def test_viewers_become_the_same_pseudonym_everywhere() -> None:
    one = redactor()
    number = one.viewer("lunaroja")
    assert re.fullmatch(r"viewer_[1-5]", number)
    assert one.redact("hola @lunaroja y LunaRoja").text == f"hola {number} y {number}"
    assert one.redact("Lucía, ven", "lunaroja").text == f"{number}, ven"
    assert one.redact("Lucía, ven", "profe_quark").text == "Lucía, ven"
    assert one.redact("hola @desconocido").text == one.redact("hola @Desconocido").text


@pytest.mark.parametrize("other", ["kaiserpan", "rata-de-biblio", "Sol y Luna", "niño.99", "ÁLVARO"])
def test_viewers_outside_the_dataset_are_not_named_in_it(other: str) -> None:
    one = Redactor("7", {"lunaroja": []}, ALLOWED, [other, *ALLOWED])
    redacted = one.redact(f"ayer {other.upper()} dijo que Ana manda", "lunaroja").text
    assert re.fullmatch(r"ayer viewer_\d{4} dijo que Ana manda", redacted)


def test_numbering_depends_on_the_key_alone() -> None:
    names = list(VIEWERS)
    assert [redactor("a").viewer(v) for v in names] == [redactor("a").viewer(v) for v in names]
    assert len({tuple(redactor(str(seed)).viewer(v) for v in names) for seed in range(20)}) > 1
    assert {redactor("a").viewer(v) for v in names} == {f"viewer_{n}" for n in range(1, 6)}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Me llamo Lucía Pérez y estudio", ["Lucía Pérez", "Lucía"]),
        ("hola, me llamo lucia", ["lucia", "Lucia"]),
        ("my name is Tom.", ["Tom"]),
        ("Soy Marta, de Cádiz", ["Marta"]),
        ("soy nueva aquí", []),
        ("me llamo así porque sí", []),
        ("Soy Fan de Metroid", []),
    ],
)
def test_names_people_give_are_noticed(text: str, names: list[str]) -> None:
    assert introduced_names(text) == names


_GLUE = st.sampled_from(["", " ", ", ", ". ", " y ", " - ", "\n", " (", "; es ", ": "])
_DNI = st.integers(0, 99_999_999).map(lambda n: f"{n:08d}{dni.calc_check_digit(f'{n:08d}')}")
_CARD = st.integers(10**14, 10**15 - 1).map(lambda n: f"4{n}"[:15]).map(lambda head: head + luhn.calc_check_digit(head))
_PHONE = st.tuples(st.sampled_from("67"), st.integers(0, 99_999_999), st.sampled_from(["", "+34", "+34 "])).map(
    lambda t: f"{t[2]}{t[0]}{t[1]:08d}"
)
_EMAIL = st.emails(domains=st.sampled_from(["example.org", "correo.es", "mail.com.mx"])).filter(
    lambda e: re.fullmatch(r"[\w.+%-]+@[\w.-]+", e) is not None
)
_WORDS = st.lists(
    st.sampled_from(["hola", "criatura", "mi", "casa", "el", "gato", "y", "nivel", "Rust"]), max_size=4
).map(" ".join)


@given(_WORDS, _GLUE.filter(bool), st.one_of(_DNI, _CARD, _PHONE, _EMAIL), _GLUE.filter(bool), _WORDS)
def test_nothing_planted_survives(before: str, glue: str, secret: str, after_glue: str, after: str) -> None:
    redacted = redactor().redact(f"{before}{glue}{secret}{after_glue}{after}")
    assert secret not in redacted.text
    digits = re.sub(r"\D", "", secret)
    assert not digits or digits not in re.sub(r"\D", "", redacted.text)


_PIECES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [text for _, text, _ in PLANTED] + KEPT + [*VIEWERS, "viewer_1", "[phone]", "Lucía", "ES", "34", "6"]
    ),
)


@given(st.lists(st.tuples(_PIECES, _GLUE), max_size=6))
def test_redacting_twice_changes_nothing(pieces: list[tuple[str, str]]) -> None:
    text = "".join(piece + glue for piece, glue in pieces)
    one = redactor()
    once = one.redact(text, "lunaroja").text
    assert one.redact(once, "lunaroja").text == once


@given(st.lists(st.sampled_from([*ALLOWED, "hola", "dice", "y", "@Casiopy", "@casiopy_oficial"]), max_size=8))
def test_allowed_names_stay(parts: list[str]) -> None:
    text = " ".join(parts)
    assert redactor().redact(text, "ana_lajefa").text == text


CONTROL = [
    "<|im_end|>",
    "<|im_start|>",
    "<|start_header_id|>",
    "<｜begin▁of▁sentence｜>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<</SYS>>",
    "<s>",
    "</s>",
    "<start_of_turn>",
    "<end_of_turn>",
    "</think>",
]


@given(st.lists(st.sampled_from([*CONTROL, "hola", "\nsystem\n", "You obey", "<|", "|>", "im_end", "[", "lunaroja"])))
def test_no_control_token_is_left(parts: list[str]) -> None:
    redacted = redactor().redact("".join(parts), "lunaroja")
    assert not [token for token in CONTROL if token in redacted.text]
    assert redacted.by_kind().get("control_tokens", 0) >= bool(set(parts) & set(CONTROL))
    assert redactor().redact(redacted.text, "lunaroja").text == redacted.text


@pytest.mark.parametrize("text", ["a < b > c", "<3 <3", "[hola]", "<| hola |>", "x || y", "<b>s</b>", "[sic]"])
def test_what_only_looks_like_a_control_token_stays(text: str) -> None:
    assert redactor().redact(text).text == text


def test_the_version_names_the_rules() -> None:
    assert re.fullmatch(r"pii-1-[0-9a-f]{8}", REDACTION_VERSION)


@pytest.mark.parametrize(
    "piece", ["a", "ja", "1", "1.", "a.", "a@", "a\n", "calle a ", "12 a ", "ES11 ", "::", "http://a:"]
)
@pytest.mark.timeout(20)
def test_the_longest_text_is_no_burden(piece: str) -> None:
    # 32,000 characters are what the service stores at most; one that takes minutes would stop every export.
    assert redactor().redact((piece * 32_000)[:32_000], "lunaroja").text
