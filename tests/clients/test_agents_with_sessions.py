"""The multi-agent document in Spanish: its curl lines in their order, its history, its root, its ways to name a session."""

import subprocess
from typing import Any

import httpx
import pytest
from pages import KEY
from running import Service


def curl(five_doors: Service, line: str, **ids: str) -> dict[str, Any]:
    """A printed line, pointed here, with the key this service wants."""
    for printed, real in ids.items():
        line = line.replace(printed.upper(), real)
    command = line.replace("http://localhost:8000", five_doors.url).replace("curl", f"curl -s -H 'X-API-Key: {KEY}'", 1)
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    answer: dict[str, Any] = httpx.Response(200, text=done.stdout).json()
    return answer


FIRST = """curl -X POST http://localhost:8000/chat \\
  -H "Content-Type: application/json" \\
  -d '{"mensaje": "Crea un cliente llamado Juan con email juan@example.com"}'"""
SECOND = """curl -X POST http://localhost:8000/chat \\
  -H "Content-Type: application/json" \\
  -H "session-id: SESSION" \\
  -d '{"mensaje": "Ahora crea otro con nombre María"}'"""
THIRD = """curl -X POST http://localhost:8000/chat \\
  -H "Content-Type: application/json" \\
  -d '{"mensaje": "Lista todos los clientes"}'"""
HISTORY = "curl http://localhost:8000/history/SESSION"


def test_the_lines_in_their_order(five_doors: Service) -> None:
    api = httpx.Client(base_url=five_doors.url, headers={"X-API-Key": KEY}, timeout=30)
    first = curl(five_doors, FIRST)
    assert set(first) == {"respuesta", "session_id", "decision"}
    # Another page of these tests may have made the same client before.
    assert first["decision"] == "crear"
    assert "juan@example.com" in first["respuesta"]
    session = first["session_id"]
    second = curl(five_doors, SECOND, session=session)
    assert (second["session_id"], second["decision"]) == (session, "crear")
    assert "María" in second["respuesta"]
    assert any(word in second["respuesta"].lower() for word in ("email", "correo"))
    third = curl(five_doors, THIRD)
    assert third["session_id"] != session
    assert third["decision"] == "consultar"
    assert "- Juan | juan@example.com" in third["respuesta"]

    history = curl(five_doors, HISTORY, session=session)
    assert set(history) == {"session_id", "total_mensajes", "historial"}
    assert (history["session_id"], history["total_mensajes"]) == (session, 4)
    assert [one["role"] for one in history["historial"]] == ["user", "assistant"] * 2
    assert all(set(one) == {"role", "content", "timestamp"} for one in history["historial"])
    assert history["historial"][2]["content"] == "Ahora crea otro con nombre María"
    deleted = api.delete(f"/history/{session}").json()
    assert deleted == {"message": f"Historial de sesión {session} eliminado"}
    assert api.get(f"/history/{session}").json()["total_mensajes"] == 0


@pytest.mark.parametrize("session", ["user_123", "chat_abc123", "550e8400-e29b-41d4-a716-446655440000"])
def test_the_client_may_name_its_session(five_doors: Service, session: str) -> None:
    api = httpx.Client(base_url=five_doors.url, headers={"X-API-Key": KEY}, timeout=30)
    answer = api.post("/chat", json={"mensaje": "Lista todos los clientes"}, headers={"session-id": session})
    assert answer.json()["session_id"] == session
    assert api.get(f"/history/{session}").json()["session_id"] == session


def test_the_root_says_where_things_are(five_doors: Service) -> None:
    root = httpx.get(five_doors.url, timeout=30).json()
    assert set(root) >= {"message", "endpoints", "status"}
    assert {"POST /chat", "GET /history/{session_id}", "DELETE /history/{session_id}"} <= set(root["endpoints"])


@pytest.mark.parametrize("body", [{}, {"mensaje": ""}, {"mensaje": 5}, {"mensaje": "Hola", "prompt": "Hola"}, []])
def test_bad_bodies_are_400(five_doors: Service, body: object) -> None:
    answer = httpx.post(f"{five_doors.url}/chat", json=body, headers={"X-API-Key": KEY}, timeout=30)
    assert answer.status_code == 400
