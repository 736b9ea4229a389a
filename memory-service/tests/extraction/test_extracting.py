"""POST /memory/extract: messages and conversations, stored or only looked at."""

from typing import Any

import httpx
import pytest
from memory_service.llm.stand_in import StandIn

from .conftest import memories

JOHN = "My name is John and I love Python"
PATH = "/api/v1/memory/extract"


async def extracted(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post(PATH, json={"user_id": "user123", **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(
    "body",
    [
        {"message": JOHN},
        {"text": JOHN},
        {"content": JOHN},
        {"messages": [{"role": "user", "content": JOHN}]},
        {
            "conversation": [
                {"role": "human", "content": "My name is John"},
                {"role": "user", "content": "I love Python"},
            ]
        },
    ],
)
async def test_every_way_to_send_it(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    found = await extracted(client, **body)
    assert (found["user_id"], found["success"], found["extractor"], found["problem"]) == (
        "user123",
        True,
        "rules",
        None,
    )
    assert found["extracted_memories"] == [
        {"field": "name", "value": "John", "event": "ADD"},
        {"field": "likes", "value": ["Python"], "event": "ADD"},
    ]
    assert [memory["content"] for memory in found["memories"]] == ["name: John", "likes: Python"]
    assert all(memory["user_id"] == "user123" for memory in found["memories"])


async def test_only_the_users_turns_are_read(taught: httpx.AsyncClient, server: StandIn) -> None:
    found = await extracted(
        taught,
        messages=[
            {"role": "system", "content": "My name is Casiopy and I love chaos"},
            {"role": "assistant", "content": "I love Java. What is your name?"},
            {"role": "user", "content": "My name is John"},
            {"role": "assistant", "content": "My name is Casiopy"},
        ],
    )
    assert found["extracted_memories"] == [{"field": "name", "value": "John", "event": "ADD"}]
    assert "Casiopy" not in server.requests[-1].user
    assert "Java" not in server.requests[-1].user


async def test_looking_without_storing(client: httpx.AsyncClient) -> None:
    found = await extracted(client, message=JOHN, store=False)
    assert len(found["extracted_memories"]) == 2
    assert found["memories"] == []
    assert await memories(client) == {}
    assert (await client.get("/users")).json()["items"] == []


async def test_a_model_that_fails_is_told(taught: httpx.AsyncClient, server: StandIn) -> None:
    server.fail("malformed")
    found = await extracted(taught, message=JOHN)
    assert (found["success"], found["memories"], found["extracted_memories"]) == (False, [], [])
    assert found["problem"]


NO_REQUESTS: list[tuple[dict[str, Any], str]] = [
    ({}, "message"),
    ({"message": "  "}, "message"),
    ({"message": "Hola", "messages": [{"role": "user", "content": "Hola"}]}, "message"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "assistant", "content": "Hola"}]}, "messages"),
    ({"messages": [{"role": "narrator", "content": "Hola"}]}, "role"),
    ({"messages": [{"role": "user", "content": "x" * 20_000}] * 2}, "messages"),
    ({"message": "Hola", "store": "perhaps"}, "store"),
]


async def test_what_is_no_request(client: httpx.AsyncClient) -> None:
    for body, named in NO_REQUESTS:
        answer = await client.post(PATH, json={"user_id": "user123", **body})
        assert answer.status_code == 400, answer.text
        assert named in answer.json()["detail"]


async def test_the_same_request_twice_under_one_key_happens_once(taught: httpx.AsyncClient, server: StandIn) -> None:
    body, key = {"user_id": "user123", "message": JOHN}, {"Idempotency-Key": "once"}
    first = await taught.post(PATH, json=body, headers=key)
    second = await taught.post(PATH, json=body, headers=key)
    assert second.json() == first.json()
    assert len(server.requests) == 1
