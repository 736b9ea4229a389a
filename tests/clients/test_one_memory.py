"""One memory behind five doors: what comes in through one is found through the others."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from memory_service.llm.stand_in import StandIn
from pages import KEY
from running import Service


@pytest.fixture
def api(five_doors: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=five_doors.url, headers={"X-API-Key": KEY}, timeout=30) as client:
        yield client


@pytest.fixture
def user() -> str:
    return f"viewer-{uuid4().hex[:8]}"


def answer(response: httpx.Response) -> Any:
    assert response.is_success, response.text
    return response.json()


def recalled(api: httpx.Client, user: str, query: str) -> str:
    body = {"user_id": user, "query": query, "limit": 5}
    return str(answer(api.post("/api/v1/memory/context", json=body))["context_summary"])


def test_a_field_set_as_a_profile_is_a_typed_memory_and_recalled(api: httpx.Client, user: str) -> None:
    answer(api.post(f"/users/{user}/memories/batch", json={"likes": ["astronomía"], "age": 31}))
    memories = answer(api.get("/api/v1/memory", params={"user_id": user}))
    assert {one["key"]: one["value"] for one in memories} == {"likes": ["astronomía"], "age": 31}
    assert "astronomía" in recalled(api, user, "¿qué le gusta?")


def test_a_typed_memory_shows_in_the_profile_and_in_a_session(api: httpx.Client, user: str) -> None:
    body = {"user_id": user, "content": "Plays the oboe", "type": "fact", "key": "instrument", "value": "oboe"}
    answer(api.post("/api/v1/memory", json=body))
    assert answer(api.get(f"/users/{user}/memories/raw"))["memories"]["instrument"] == "oboe"
    assert "oboe" in answer(api.get(f"/users/{user}/context/text"))["context"]
    session = answer(api.post("/sessions", json={"user_id": user}))["session_id"]
    assert answer(api.get(f"/sessions/{session}/memory"))["profile"]["instrument"] == "oboe"


def test_what_was_told_anywhere_is_in_the_prompt_of_the_chat(api: httpx.Client, user: str, model: StandIn) -> None:
    answer(api.post(f"/users/{user}/memories/batch", json={"pets": ["un axolote llamado Xoloitl"]}))
    session = answer(api.post("/sessions", json={"user_id": user}))["session_id"]
    exchange = {"session_id": session, "input_text": "Mañana viajo a Reikiavik", "output_text": "*suspiro* Abrígate."}
    answer(api.post("/interactions", json=exchange))
    body = {"user_id": user, "message": "¿Adónde viajo, y quién se queda con mi mascota?"}
    said = answer(api.post("/api/v1/chat", json=body))
    prompt = model.requests[-1].prompt
    assert "Reikiavik" in prompt
    assert "Xoloitl" in prompt
    found = recalled(api, user, "¿quién se queda con mi mascota?")
    assert "Xoloitl" in found
    assert answer(api.get(f"/history/{said['session_id']}"))["total_mensajes"] == 2


def test_erasing_a_person_empties_every_door(api: httpx.Client, user: str) -> None:
    answer(api.post("/chat", json={"prompt": "Hola", "user_id": user, "session_id": f"chat_{user}"}))
    answer(api.post("/api/v1/memory", json={"user_id": user, "content": "Plays the oboe", "type": "fact"}))
    answer(api.delete("/api/v1/gdpr/delete", params={"user_id": user}))
    assert answer(api.get("/api/v1/memory", params={"user_id": user})) == []
    assert answer(api.get(f"/users/{user}/context/text"))["has_memories"] is False
    assert answer(api.get("/interactions", params={"user_id": user}))["items"] == []
    assert api.get(f"/history/chat_{user}").status_code == 404
    assert recalled(api, user, "oboe") == ""


def test_a_memory_written_this_moment_is_recalled_at_once(api: httpx.Client, user: str) -> None:
    answer(
        api.post(
            "/api/v1/memory", json={"user_id": user, "content": "Prefers concise explanations", "type": "preference"}
        )
    )
    assert "concise" in recalled(api, user, "How should I respond to this user?")
