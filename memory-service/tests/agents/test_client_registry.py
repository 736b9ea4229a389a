"""The documented conversation with the client registry, turn by turn, without any language model."""

import tomllib
from typing import Any

import httpx
import pytest
from memory_service.agents.agent import Agent
from memory_service.agents.tables import prepare_tables
from memory_service.app import create_app
from memory_service.db import Database
from memory_service.settings import Settings
from sqlalchemy import text

from .conftest import EXAMPLE


async def say(http: httpx.AsyncClient, message: str, session: str | None = None) -> dict[str, Any]:
    headers = {"session-id": session} if session else {}
    answer = await http.post("/chat", json={"mensaje": message}, headers=headers)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert set(body) == {"respuesta", "session_id", "decision"}
    return body


async def test_the_documented_conversation(clients: httpx.AsyncClient) -> None:
    first = await say(clients, "Crea un cliente llamado Juan con email juan@example.com")
    assert (first["respuesta"], first["decision"]) == ("✅ Cliente creado: Juan (juan@example.com)", "crear")
    session = first["session_id"]
    second = await say(clients, "Ahora crea otro con nombre María", session)
    assert (second["respuesta"], second["decision"]) == ("¿Qué email tiene María?", "crear")
    third = await say(clients, "maria@example.com", session)
    assert (third["respuesta"], third["decision"]) == ("✅ Cliente creado: María (maria@example.com)", "crear")
    listed = await say(clients, "Lista todos los clientes")
    assert listed["session_id"] != session
    assert (listed["respuesta"], listed["decision"]) == (
        "- Juan | juan@example.com\n- María | maria@example.com",
        "consultar",
    )
    history = (await clients.get(f"/history/{session}")).json()
    assert history["total_mensajes"] == 6
    assert history["historial"][3]["content"] == "¿Qué email tiene María?"


async def test_what_the_registry_was_told_is_not_learned_of_the_viewer(clients: httpx.AsyncClient) -> None:
    said = await say(clients, "Crea un cliente llamado Juan con email juan@example.com")
    viewer = f"session:{said['session_id']}"
    assert (await clients.get("/memory", params={"user_id": viewer})).json() == []
    (exchange,) = (await clients.get("/interactions")).json()["items"]
    assert [drop["rule"] for drop in exchange["quality"]["drops"]] == ["other_speaker"]


async def test_addresses_are_checked_and_kept_once(clients: httpx.AsyncClient) -> None:
    first = await say(clients, "Crea un cliente llamado Ana con email ana@@example")
    assert "no es un email válido" in first["respuesta"]
    wrong = await say(clients, "pues ana arroba example", first["session_id"])
    assert "no es un email válido" in wrong["respuesta"]
    right = await say(clients, "ana@example.com", first["session_id"])
    assert right["respuesta"] == "✅ Cliente creado: Ana (ana@example.com)"
    twice = await say(clients, "Crea un cliente llamado Anita con email ANA@example.com")
    assert twice["respuesta"] == "❌ Ya hay un cliente con ese email: Ana (ana@example.com)"


async def test_a_question_can_be_taken_back_or_left(clients: httpx.AsyncClient) -> None:
    asked = await say(clients, "Crea un cliente")
    assert asked["respuesta"] == "¿Cómo se llama el cliente y qué email tiene?"
    named = await say(clients, "Luis", asked["session_id"])
    assert named["respuesta"] == "¿Qué email tiene Luis?"
    listed = await say(clients, "¿Qué clientes hay?", asked["session_id"])
    assert (listed["respuesta"], listed["decision"]) == ("Todavía no hay clientes.", "consultar")
    again = await say(clients, "Crea un cliente llamado Luis", asked["session_id"])
    taken_back = await say(clients, "Déjalo", again["session_id"])
    assert taken_back["respuesta"] == "❌ De acuerdo, no creo ningún cliente."


async def test_what_looks_like_sql_is_a_name(clients: httpx.AsyncClient) -> None:
    name = "Robert'); DROP TABLE casiopy_agents.client_registry_clients"
    asked = await say(clients, "Crea un cliente con email bobby@example.com")
    made = await say(clients, name, asked["session_id"])
    assert made["respuesta"] == f"✅ Cliente creado: {name} (bobby@example.com)"
    assert name in (await say(clients, "Lista los clientes"))["respuesta"]


async def test_each_owner_has_their_own_clients(
    clients: httpx.AsyncClient, settings: Settings, migrated_url: str, registry: tuple[Agent, ...], database: Database
) -> None:
    await say(clients, "Crea un cliente llamado Juan con email juan@example.com")
    other = create_app(settings.model_copy(update={"default_owner": "other-owner"}), migrated_url, agents=registry)
    transport = httpx.ASGITransport(other)
    async with (
        other.router.lifespan_context(other),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http,
    ):
        assert (await say(http, "Lista todos los clientes"))["respuesta"] == "Todavía no hay clientes."
        same = await say(http, "Crea un cliente llamado Juan con email juan@example.com")
        assert same["respuesta"].startswith("✅")
    async with database.transaction("nobody") as connection:
        statement = text("SELECT count(*) FROM casiopy_agents.client_registry_clients")
        assert await connection.scalar(statement) == 0


async def test_the_clients_outlive_the_process(
    clients: httpx.AsyncClient, settings: Settings, migrated_url: str, registry: tuple[Agent, ...]
) -> None:
    asked = await say(clients, "Crea un cliente llamado Eva")
    await prepare_tables(migrated_url, [table for agent in registry for table in agent.tables])
    app = create_app(settings, migrated_url, agents=registry)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http,
    ):
        made = await say(http, "eva@example.com", asked["session_id"])
        assert made["respuesta"] == "✅ Cliente creado: Eva (eva@example.com)"


async def test_what_no_agent_claims_is_the_personas(clients: httpx.AsyncClient) -> None:
    answer = await clients.post("/chat", json={"mensaje": "¿Qué tiempo hace?"})
    assert (answer.status_code, answer.json()["error"]) == (503, "no_model")


async def test_an_agent_streams_its_answer_in_one_piece(clients: httpx.AsyncClient) -> None:
    body = {"prompt": "Lista todos los clientes", "stream": True}
    answer = await clients.post("/chat", json=body)
    assert answer.text.startswith('data: {"delta": "Todavía no hay clientes."}\n\n')
    assert '"decision": "consultar"' in answer.text


@pytest.mark.parametrize("name", ["crear", "consultar"])
def test_the_package_declares_its_agents(name: str, registry: tuple[Agent, ...]) -> None:
    declared = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))
    points = declared["project"]["entry-points"]["casiopy.agents"]
    assert points[name] == f"casiopy_client_registry:{name.title()}"
    assert name in {agent.name for agent in registry}
