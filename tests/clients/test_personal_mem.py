"""The PersonalMem document: its five endpoints, bodies and answers as printed, and its chatbot on top of them."""

import httpx
import pytest
from pages import KEY, hold
from running import Service


@pytest.fixture
def api(five_doors: Service) -> httpx.Client:
    return httpx.Client(base_url=five_doors.url, headers={"X-API-Key": KEY}, timeout=30)


def test_the_document_from_top_to_bottom(api: httpx.Client) -> None:
    said = api.post("/messages", json={"user_id": "user123-printed", "message": "My name is John and I love Python"})
    answer = said.json()
    assert set(answer) >= {"success", "extracted_memories", "response_time_ms"}
    assert answer["success"] is True
    assert answer["extracted_memories"] == [
        {"field": "name", "value": "John", "event": "ADD"},
        {"field": "likes", "value": ["Python"], "event": "ADD"},
    ]
    assert isinstance(answer["response_time_ms"], int)

    context = api.get("/users/user123-printed/context/text").json()
    assert context == {
        "user_id": "user123-printed",
        "context": "User Information:\n- name: John\n- likes: Python",
        "has_memories": True,
    }

    batch = api.post("/users/user123-printed/memories/batch", json={"age": 28})
    hold(batch.json(), {"success": True, "updated_fields": ["age"], "total_fields": 3}, "batch")
    raw = api.get("/users/user123-printed/memories/raw").json()
    assert raw == {"user_id": "user123-printed", "memories": {"name": "John", "likes": ["Python"], "age": 28}}

    batch = api.post(
        "/users/user123-printed/memories/batch", json={"name": "Alice", "skills": ["Python", "JavaScript"]}
    )
    assert batch.json() == {"success": True, "updated_fields": ["name", "skills"], "total_fields": 4}
    assert api.get("/users/user123-printed/memories/raw").json()["memories"]["name"] == "Alice"

    gone = api.delete("/users/user123-printed/memories")
    assert gone.json() == {"message": "All memories deleted for user user123-printed"}
    assert api.get("/users/user123-printed/context/text").json() == {
        "user_id": "user123-printed",
        "context": "",
        "has_memories": False,
    }


def test_the_context_posted_back_is_not_learned_from(api: httpx.Client) -> None:
    """The chatbot of the document puts the context into its prompt; some clients post the whole prompt as the message."""
    api.post("/users/echo/memories/batch", json={"name": "John", "likes": ["Python"]})
    context = api.get("/users/echo/context/text").json()["context"]
    prompt = f"You are a helpful assistant.\n\n{context}"
    assert api.post("/messages", json={"user_id": "other", "message": prompt}).json()["extracted_memories"] == []
    assert api.get("/users/other/context/text").json()["has_memories"] is False


@pytest.mark.parametrize(
    "body",
    [{}, {"user_id": "u"}, {"message": "hi"}, {"user_id": "", "message": "hi"}, {"user_id": "u", "message": ""}, []],
)
def test_bad_messages_are_400(api: httpx.Client, body: object) -> None:
    answer = api.post("/messages", json=body)
    assert answer.status_code == 400
    assert set(answer.json()) == {"detail", "error"}
