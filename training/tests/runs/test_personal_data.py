"""What is found in rows, and above all what is not: scores, times and home networks are nobody's."""

from __future__ import annotations

import random

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona_training.personal_data import find_personal_data, shown
from stdnum import iban, luhn
from stdnum.es import dni


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("escríbeme a ana.perez@example.org, vale?", ["e-mail"]),
        ("mi número es 612 345 678", ["telephone"]),
        ("llama al +34 655 443 322 o a bob@example.com", ["telephone", "e-mail"]),
        ("ES91 2100 0418 4502 0005 1332 GRACIAS", ["bank account"]),
        ("DNI 12345678Z", ["identity number"]),
        ("tarjeta 4111 1111 1111 1111", ["card"]),
        ("juega en 8.8.8.8", ["IP address"]),
        ("hf_" + "a1" * 12, ["secret"]),
        ("github_pat_" + "b2" * 15, ["secret"]),
        ("postgres://ana:clave@casa.example/db", ["secret"]),
        ("token: 9f8e7d6c5b4a", ["secret"]),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", ["secret"]),
    ],
)
def test_what_is_found(text: str, kinds: list[str]) -> None:
    assert [found.kind for found in find_personal_data(text)] == kinds


@pytest.mark.parametrize(
    "text",
    [
        "saqué 12345678 puntos y él 1.234.567.890",
        "a las 10:30 del 21-11-2026, versión 3.11.2",
        "el servidor está en 192.168.1.10 y en 127.0.0.1",
        "viewer_17 dio su [phone] y su [email]",
        "el token es divertidísimo, la contraseña: no te la digo",
        "12345678A no es un DNI, le falla la letra",
        "4111 1111 1111 1112 no pasa la suma",
        "1 2 3 4 5 6 7 8 9 10",
    ],
)
def test_what_belongs_to_nobody(text: str) -> None:
    assert find_personal_data(text) == []


words = st.lists(st.sampled_from(["hola", "mira", "uf", "el", "gato", "vale"]), min_size=1, max_size=6).map(" ".join)


@given(before=words, after=words, seed=st.integers(0, 10_000))
def test_valid_numbers_are_found_wherever_they_stand(before: str, after: str, seed: int) -> None:
    rng = random.Random(seed)
    number = f"{rng.randrange(10**8):08d}"
    account = "2100" + "".join(rng.choice("0123456789") for _ in range(16))
    bban = "ES00" + account
    card = "4" + "".join(rng.choice("0123456789") for _ in range(14))
    values = {
        "identity number": number + dni.calc_check_digit(number),
        "card": card + luhn.calc_check_digit(card),
        "telephone": phonenumbers.format_number(
            phonenumbers.example_number_for_type("ES", phonenumbers.PhoneNumberType.MOBILE),
            phonenumbers.PhoneNumberFormat.INTERNATIONAL,
        ),
    }
    for kind, value in values.items():
        text = f"{before} {value} {after}"
        found = find_personal_data(text)
        assert (kind, value) in [(one.kind, text[one.start : one.end]) for one in found]
        assert all(value not in shown(text, one) for one in found)
    assert not iban.is_valid(bban) or find_personal_data(bban)
