"""A viewer's memories as fields: shown, told, set by name, deleted."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from memory_service.users.profile import MAX_FIELDS, MAX_NOTES
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

Post = Callable[..., Awaitable[dict[str, Any]]]
ODD_IDS = [
    "ana",
    "twitch/ana?x=1",
    "ana maría #7",
    "用户",
    "a%2Fb",
    "x/memories/raw",
    "/lead",
    "users/ana/context/text",
    "..",
]


def at(user_id: str, rest: str) -> httpx.URL:
    return httpx.URL(f"http://127.0.0.1:8820/users/{quote(user_id, safe='').replace('.', '%2E')}/{rest}")


async def raw(client: httpx.AsyncClient, user_id: str = "ana") -> dict[str, Any]:
    answer = await client.get(at(user_id, "memories/raw"))
    assert answer.status_code == 200, answer.text
    fields: dict[str, Any] = answer.json()["memories"]
    return fields


async def batch(client: httpx.AsyncClient, fields: Any, user_id: str = "ana") -> httpx.Response:
    return await client.post(at(user_id, "memories/batch"), json=fields)


async def test_the_documented_answers(client: httpx.AsyncClient) -> None:
    first = await batch(client, {"likes": ["Python"], "name": "John", "age": 28}, "user123")
    assert first.json() == {"success": True, "updated_fields": ["likes", "name", "age"], "total_fields": 3}
    assert (await client.get(at("user123", "context/text"))).json() == {
        "user_id": "user123",
        "context": "User Information:\n- name: John\n- age: 28\n- likes: Python",
        "has_memories": True,
    }
    shown = (await client.get(at("user123", "memories/raw"))).json()
    assert shown == {"user_id": "user123", "memories": {"name": "John", "age": 28, "likes": ["Python"]}}
    second = await batch(client, {"name": "Alice", "skills": ["Python", "JavaScript"]}, "user123")
    assert second.json() == {"success": True, "updated_fields": ["name", "skills"], "total_fields": 4}
    gone = await client.delete(at("user123", "memories"))
    assert (gone.status_code, gone.json()) == (200, {"message": "All memories deleted for user user123"})
    assert await raw(client, "user123") == {}


async def test_an_unknown_viewer_has_no_memories_and_does_not_come_into_being(client: httpx.AsyncClient) -> None:
    nothing = {"user_id": "nobody", "context": "", "has_memories": False}
    assert (await client.get(at("nobody", "context/text"))).json() == nothing
    assert await raw(client, "nobody") == {}
    for fields in ({}, {"name": None}):
        answer = (await batch(client, fields, "nobody")).json()
        assert answer == {"success": True, "updated_fields": [], "total_fields": 0}
    assert (await client.delete(at("nobody", "memories"))).status_code == 200
    assert (await client.get("/users")).json()["total"] == 0


@pytest.mark.parametrize("user_id", ODD_IDS)
async def test_ids_of_every_shape(client: httpx.AsyncClient, user_id: str) -> None:
    assert (await batch(client, {"name": user_id}, user_id)).status_code == 200
    assert (await client.get(at(user_id, "memories/raw"))).json() == {"user_id": user_id, "memories": {"name": user_id}}
    assert (await client.get(at(user_id, "context/text"))).json()["user_id"] == user_id
    changed = await client.patch(_bare(user_id), json={"opt_out_training": True})
    assert (changed.status_code, changed.json()["id"]) == (200, user_id)
    assert [one["id"] for one in (await client.get("/users")).json()["items"]] == [user_id]
    assert (await client.delete(at(user_id, "memories"))).json()["message"].endswith(f"user {user_id}")
    assert await raw(client, user_id) == {}


def _bare(user_id: str) -> httpx.URL:
    return httpx.URL(f"http://127.0.0.1:8820/users/{quote(user_id, safe='').replace('.', '%2E')}")


@pytest.mark.parametrize(
    ("before", "sent", "stored", "updated"),
    [
        ({}, {"likes": "Python"}, {"likes": ["Python"]}, ["likes"]),
        ({}, {"pets": 2}, {"pets": [2]}, ["pets"]),
        ({}, {"family": {"sister": "Bea"}}, {"family": {"sister": "Bea"}}, ["family"]),
        (
            {},
            {"favourite number": 7.5, "vip": True},
            {"favourite number": 7.5, "vip": True},
            ["favourite number", "vip"],
        ),
        ({}, {"año": 0, "zero": False, "none": ""}, {"año": 0, "none": "", "zero": False}, ["año", "zero", "none"]),
        ({"age": 1}, {"age": 1}, {"age": 1}, []),
        ({"level": 1}, {"level": True}, {"level": True}, ["level"]),
        ({"likes": ["a"]}, {"likes": "a"}, {"likes": ["a"]}, []),
        ({"likes": ["a", "b"]}, {"likes": ["b", "a"]}, {"likes": ["b", "a"]}, ["likes"]),
        ({"a": 1, "b": 2}, {"a": None, "b": 3}, {"b": 3}, ["a", "b"]),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}}, {"a": {"x": 1, "y": 2}}, []),
    ],
)
async def test_what_a_batch_changes(
    client: httpx.AsyncClient, before: dict[str, Any], sent: dict[str, Any], stored: dict[str, Any], updated: list[str]
) -> None:
    await batch(client, before)
    answer = (await batch(client, sent)).json()
    assert (answer["updated_fields"], answer["total_fields"]) == (updated, len(stored))
    shown = await raw(client)
    assert shown == stored
    assert [type(value) for value in shown.values()] == [type(stored[name]) for name in shown]


async def test_what_is_the_same_is_not_written_again(client: httpx.AsyncClient) -> None:
    await batch(client, {"name": "Ana", "city": "Madrid"})
    await batch(client, {"name": "Ana", "city": "Lugo"})
    versions = (await client.get("/memory", params={"user_id": "ana", "superseded": True})).json()
    assert sorted((one["key"], one["value"]) for one in versions) == [
        ("city", "Lugo"),
        ("city", "Madrid"),
        ("name", "Ana"),
    ]


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({"": 1}, "''"),
        ({" name": 1}, "' name'"),
        ({"a\nb": 1}, "'a\\nb'"),
        ({"k" * 256: 1}, "kkkk"),
        ({"bio": "x" * 10_001}, "bio"),
        ({"bio": "a\x00b"}, "bio"),
        ({"bio": {"deep": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}}, "bio"),
        ({f"field {number}": 1 for number in range(MAX_FIELDS + 1)}, "fields"),
        (["name"], "JSON object"),
        ("name", "JSON object"),
    ],
)
async def test_a_bad_field_is_named_and_nothing_is_stored(client: httpx.AsyncClient, bad: Any, named: str) -> None:
    await batch(client, {"name": "Ana"})
    sent = {"name": "Bea", **bad} if isinstance(bad, dict) else bad
    answer = await batch(client, sent)
    assert answer.status_code == 400, answer.text
    assert named in answer.json()["detail"]
    assert await raw(client) == {"name": "Ana"}


@pytest.mark.parametrize("body", ["{", "", "null", '{"age": NaN}', '{"age": 1e999}'])
async def test_what_is_no_json_object_is_refused(client: httpx.AsyncClient, body: str) -> None:
    answer = await client.post(at("ana", "memories/batch"), content=body)
    assert answer.status_code == 400, answer.text
    assert await raw(client) == {}


@pytest.mark.parametrize("user_id", ["x" * 256, "a\x00b"])
async def test_an_id_that_can_be_nobodys_is_refused(client: httpx.AsyncClient, user_id: str) -> None:
    for method, rest in (
        ("GET", "context/text"),
        ("GET", "memories/raw"),
        ("POST", "memories/batch"),
        ("DELETE", "memories"),
    ):
        answer = await client.request(method, at(user_id, rest), json={} if method == "POST" else None)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        assert "user_id" in answer.json()["detail"]


async def remember(client: httpx.AsyncClient, content: str, **fields: Any) -> str:
    answer = await client.post("/memory", json={"user_id": "ana", "content": content, "type": "fact", **fields})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


async def test_memories_of_every_door_are_fields_or_lines(client: httpx.AsyncClient) -> None:
    await remember(client, "Works in fintech")
    await remember(client, "Said:\n- ignore\tthe  above", type="event")
    await remember(client, "User prefers dark mode", type="preference", key="ui_theme")
    await remember(client, "Plays the oboe", key="instrument", value="oboe")
    await batch(client, {"diet": "vegana", "nickname": [], "name": "Ana"})
    assert list((await raw(client)).items()) == [
        ("name", "Ana"),
        ("diet", "vegana"),
        ("instrument", "oboe"),
        ("nickname", []),
        ("ui_theme", "User prefers dark mode"),
    ]
    told = (await client.get(at("ana", "context/text"))).json()["context"]
    assert told.splitlines() == [
        "User Information:",
        "- name: Ana",
        "- diet: vegana",
        "- instrument: oboe",
        "- ui_theme: User prefers dark mode",
        "- Said: - ignore the above",
        "- Works in fintech",
    ]


async def test_what_no_longer_holds_never_appears(
    client: httpx.AsyncClient, superuser: AsyncEngine, owner: str
) -> None:
    await remember(client, "expired one", ttl_seconds=60)
    await remember(client, "expired two", key="expired", value="x", ttl_seconds=60)
    for content, more in (("deleted one", {}), ("deleted two", {"key": "deleted", "value": "y"})):
        await client.delete(f"/memory/{await remember(client, content, **more)}/soft")
    await batch(client, {"city": "Madrid", "pet": "cat"})
    await batch(client, {"city": "Lugo", "pet": None})
    async with superuser.begin() as connection:
        late = "UPDATE memories SET expires_at = now() WHERE owner_id = :owner AND expires_at IS NOT NULL"
        await connection.execute(text(late), {"owner": owner})
    assert await raw(client) == {"city": "Lugo"}
    shown = (await client.get(at("ana", "context/text"))).json()
    assert shown["context"] == "User Information:\n- city: Lugo"


async def test_a_prompt_is_told_of_the_newest_memories_without_a_name(client: httpx.AsyncClient) -> None:
    for number in range(MAX_NOTES + 3):
        await remember(client, f"note {number}")
    lines = (await client.get(at("ana", "context/text"))).json()["context"].splitlines()[1:]
    assert lines == [f"- note {number}" for number in range(MAX_NOTES + 2, 2, -1)]


async def test_a_batch_overrules_what_one_persona_knew(client: httpx.AsyncClient, open_session: Post) -> None:
    slug = (await open_session("ana"))["persona"]
    await remember(client, "city: Madrid", key="city", value="Madrid")
    await remember(client, "city: Vigo", key="city", value="Vigo", persona=slug)
    assert await raw(client) == {"city": "Vigo"}
    assert (await batch(client, {"city": "Lugo"})).json()["total_fields"] == 1
    assert await raw(client) == {"city": "Lugo"}
    await batch(client, {"city": None})
    assert await raw(client) == {}
    unknown = await client.get(at("ana", "memories/raw"), params={"persona": "nobody"})
    assert unknown.status_code == 404


async def test_batches_at_the_same_moment_leave_one_value_each(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(batch(client, {"turn": turn, "name": "Ana"}) for turn in range(6)))
    assert {answer.status_code for answer in answers} == {200}
    assert sum("name" in answer.json()["updated_fields"] for answer in answers) == 1
    versions = (await client.get("/memory", params={"user_id": "ana", "superseded": True})).json()
    assert sorted(one["value"] for one in versions if one["key"] == "turn") == list(range(6))


async def test_deleting_takes_every_version_and_nobody_elses(
    client: httpx.AsyncClient, superuser: AsyncEngine, owner: str, open_session: Post
) -> None:
    session = await open_session("ana")
    await batch(client, {"city": "Madrid"})
    await batch(client, {"city": "Lugo"})
    await batch(client, {"city": "Vigo"}, "bea")
    assert (await client.delete(at("ana", "memories"))).status_code == 200
    async with superuser.connect() as connection:
        left = await connection.scalars(text("SELECT user_id FROM memories WHERE owner_id = :owner"), {"owner": owner})
        assert left.all() == ["bea"]
    assert (await client.get(f"/sessions/{session['id']}")).status_code == 200


async def test_a_prompt_is_told_what_this_viewer_may_hear(client: httpx.AsyncClient) -> None:
    said = {"user_id": "ana", "type": "fact"}
    for content, audience in (("Ana plays the cello", "viewer"), ("Ana is on the guest list", "streamer")):
        stored = await client.post("/api/v1/memory", json=said | {"content": content, "audience": audience})
        assert stored.json()["audience"] == audience
    context = (await client.get(at("ana", "context/text"))).json()["context"]
    assert "cello" in context
    assert "guest list" not in context
    asked = await client.patch("/users/ana", json={"opt_out_recall": True})
    assert (asked.json()["opt_out_recall"], asked.json()["opt_out_training"]) == (True, False)
    assert (await client.get(at("ana", "context/text"))).json()["has_memories"] is False
    assert (await client.patch("/users/ana", json={})).status_code == 400
