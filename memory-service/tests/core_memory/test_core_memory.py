"""Layer 0 over HTTP: read by anyone, written once, changed only where it may change."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

RUST = {"category": "like", "key": "language_rust", "value": "Rust es fascinante"}


async def _add(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await client.post("/core-memory", json=RUST | changes)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_entries_are_immutable_unless_asked_otherwise(client: httpx.AsyncClient) -> None:
    entry = await _add(client)
    assert entry["is_mutable"] is False
    assert {name: entry[name] for name in RUST} == RUST
    for answer in (
        await client.put(f"/core-memory/{entry['id']}", json={"value": "Rust aburre"}),
        await client.put(f"/core-memory/{entry['id']}", json={"is_mutable": True}),
        await client.delete(f"/core-memory/{entry['id']}"),
    ):
        assert (answer.status_code, answer.json()["error"]) == (409, "immutable_core_memory")
        assert "PostgreSQL refuses" in answer.json()["detail"]
    assert (await client.get("/core-memory")).json()["items"] == [entry]


async def test_a_mutable_entry_changes_and_may_be_sealed(client: httpx.AsyncClient) -> None:
    entry = await _add(client, is_mutable=True)
    changed = (await client.put(f"/core-memory/{entry['id']}", json={"value": "Rust y C"})).json()
    assert changed["value"] == "Rust y C"
    assert changed["updated_at"] > entry["updated_at"]
    sealed = await client.put(f"/core-memory/{entry['id']}", json={"is_mutable": False})
    assert sealed.json()["is_mutable"] is False
    assert (await client.delete(f"/core-memory/{entry['id']}")).status_code == 409


async def test_a_mutable_entry_can_go(client: httpx.AsyncClient) -> None:
    entry = await _add(client, is_mutable=True)
    assert (await client.delete(f"/core-memory/{entry['id']}")).status_code == 204
    assert (await client.delete(f"/core-memory/{entry['id']}")).status_code == 404
    assert (await client.get("/core-memory")).json()["total"] == 0


async def test_categories_are_lists_of_their_own(client: httpx.AsyncClient) -> None:
    await _add(client)
    await _add(client, category="dislike", key="comic_sans", value="Comic Sans te ofende.")
    assert [item["key"] for item in (await client.get("/core-memory/dislike")).json()["items"]] == ["comic_sans"]
    assert (await client.get("/core-memory/nothing")).json() == {"items": [], "total": 0, "next_cursor": None}


async def test_the_same_key_twice_is_a_conflict(client: httpx.AsyncClient) -> None:
    await _add(client)
    answer = await client.post("/core-memory", json=RUST | {"value": "Otra cosa"})
    assert (answer.status_code, answer.json()["error"]) == (409, "conflict")


async def test_the_system_prompt_is_made_of_the_entries(client: httpx.AsyncClient) -> None:
    await _add(client)
    await _add(client, category="identity", key="name", value="Te llamas Casiopy.")
    prompt = (await client.get("/core-memory/system-prompt/generate")).json()
    assert prompt["system_prompt"] == "# Quién eres\n- Te llamas Casiopy.\n\n# Lo que te gusta\n- Rust es fascinante"
    assert (prompt["persona"], prompt["entries"], len(prompt["sha256"])) == ("casiopy", 2, 64)


@pytest.mark.parametrize(
    "body",
    [
        {},
        RUST | {"category": ""},
        RUST | {"category": "x" * 65},
        RUST | {"key": "x" * 256},
        RUST | {"value": ""},
        RUST | {"value": "x" * 10_001},
        RUST | {"value": "a\x00b"},
        RUST | {"is_mutable": "sometimes"},
        RUST | {"persona": "Not A Slug"},
    ],
)
async def test_bad_entries(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    answer = await client.post("/core-memory", json=body)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert (await client.get("/core-memory")).json()["total"] == 0


async def test_unknown_and_empty_changes(client: httpx.AsyncClient) -> None:
    missing = await client.put(f"/core-memory/{uuid4()}", json={"value": "x"})
    assert (missing.status_code, missing.json()["error"]) == (404, "not_found")
    entry = await _add(client, is_mutable=True)
    empty = await client.put(f"/core-memory/{entry['id']}", json={})
    assert (empty.status_code, empty.json()["error"]) == (400, "bad_request")
    half_a_pair = '{"value": "\\ud83d"}'
    answer = await client.put(
        f"/core-memory/{entry['id']}", content=half_a_pair, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400


async def test_the_default_persona_is_there_from_the_first_question(client: httpx.AsyncClient) -> None:
    personas = (await client.get("/personas")).json()
    assert [(one["slug"], one["name"], one["language"]) for one in personas["items"]] == [("casiopy", "Casiopy", "es")]
