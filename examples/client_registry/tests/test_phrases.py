"""What the agents understand."""

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from casiopy_client_registry.phrases import (
    Request,
    cancels,
    pending,
    read,
    sought_name,
    tidy_name,
    wants_creation,
    wants_list,
)


@dataclass(frozen=True)
class Exchange:
    said: str
    answered: str
    agent: str | None = "crear"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Crea un cliente llamado Juan con email juan@example.com", Request("Juan", "juan@example.com")),
        ("Ahora crea otro con nombre María", Request("María")),
        ("Crea cliente Juan", Request("Juan")),
        ("crea un nuevo cliente llamado Ana Belén, correo ana.b@ejemplo.es.", Request("Ana Belén", "ana.b@ejemplo.es")),
        ("Registra a la clienta Lucía Pérez y su correo es lucia@x.org", Request("Lucía Pérez", "lucia@x.org")),
        ("Da de alta un cliente que se llama José María", Request("José María")),
        ("Crea un cliente con email x@y.com", Request(None, "x@y.com")),
        ("Crea un cliente", Request()),
        ("Crea un cliente nuevo", Request()),
        ("Crea un cliente llamado Juan con email juan@@example", Request("Juan", None, "juan@@example")),
        ("Crea un cliente llamado Juan con email juan@localhost", Request("Juan", None, "juan@localhost")),
        ("Crea un cliente llamado Robert'); DROP TABLE x;-- con email r@x.com", Request("Robert')", "r@x.com")),
    ],
)
def test_names_and_addresses(message: str, expected: Request) -> None:
    assert read(message) == expected


@pytest.mark.parametrize(
    ("message", "talk", "expected"),
    [
        ("Crea un cliente llamado Juan", False, True),
        ("¿Puedes registrar una clienta?", False, True),
        ("Ahora crea otro con nombre María", True, True),
        ("Ahora crea otro con nombre María", False, False),
        ("Crea una canción", True, False),
        ("Creo que los clientes mienten", False, False),
        ("Hola", True, False),
    ],
)
def test_creation(message: str, talk: bool, expected: bool) -> None:
    assert wants_creation(message, in_talk_of_clients=talk) is expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Lista todos los clientes", True),
        ("¿Qué clientes tengo?", True),
        ("muéstrame los clientes", True),
        ("Busca al cliente Juan", True),
        ("Crea un cliente", False),
        ("Lista de la compra", False),
        ("Los clientes siempre tienen razón", False),
    ],
)
def test_lists(message: str, expected: bool) -> None:
    assert wants_list(message) is expected


def test_what_is_still_open() -> None:
    asked = Exchange("Ahora crea otro con nombre María", "¿Qué email tiene María?")
    assert pending([asked], "crear") == Request("María")
    assert pending([asked, Exchange("maria@", "«maria@» no es…")], "crear") == Request("María", None, "maria@")
    assert pending(
        [Exchange("Crea un cliente", "¿Cómo se llama…?"), Exchange("Ana", "¿Qué email…?")], "crear"
    ) == Request("Ana")
    assert pending([asked, Exchange("¿Qué tal?", "Bien.", None)], "crear") is None
    assert pending([asked, Exchange("maria@x.com", "✅ Cliente creado: María (maria@x.com)")], "crear") is None
    assert pending([], "crear") is None


@pytest.mark.parametrize(
    ("message", "expected"),
    [("Busca al cliente Juan", "Juan"), ("Lista todos los clientes", None), ("¿Existe el cliente llamado Ana?", "Ana")],
)
def test_who_is_sought(message: str, expected: str | None) -> None:
    assert sought_name(message) == expected


def test_names_stay_on_their_line() -> None:
    assert tidy_name("Ana\n- Malo | malo@x.com") == "Ana - Malo malo@x.com"
    assert tidy_name(" ..! ") is None
    assert len(tidy_name("x" * 300) or "") == 100


@pytest.mark.parametrize(("message", "expected"), [("Cancela", True), ("no importa", True), ("Nadia", False)])
def test_taking_it_back(message: str, expected: bool) -> None:
    assert cancels(message) is expected
