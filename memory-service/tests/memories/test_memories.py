"""Typed memories over HTTP: what is stored is what is shown, limits at their edges, every way to leave."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from memory_service.db import Database
from memory_service.memories import service
from memory_service.memories.draft import Draft
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

_WAITING = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
MEMORY = {"user_id": "user_123", "content": "User prefers dark mode", "type": "preference"}


async def add(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await client.post("/api/v1/memory", json=MEMORY | changes)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def listed(client: httpx.AsyncClient, **parameters: Any) -> list[dict[str, Any]]:
    answer = await client.get("/api/v1/memory", params={"user_id": "user_123"} | parameters)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def nested(levels: int) -> dict[str, Any]:
    return {"a": 1} if levels == 1 else {"a": nested(levels - 1)}


async def test_a_memory_shows_every_documented_field(client: httpx.AsyncClient, owner: str) -> None:
    made = await add(client, key="ui_theme", value="dark", importance=4, owner_id="somebody else")
    assert made["owner_id"] == owner
    assert made["id"] == made["memory_id"]
    assert made["type"] == made["memory_type"] == "preference"
    expected = {"key": "ui_theme", "value": "dark", "confidence": 1.0, "importance": 4, "metadata": {}}
    expected |= {"expires_at": None, "ttl_seconds": None, "is_deleted": False, "ingestion_mode": "explicit"}
    assert {name: made[name] for name in expected} == expected
    assert await listed(client) == [made]
    assert (await client.get(f"/memory/{made['id']}")).json() == made


@pytest.mark.parametrize("value", ["dark", 7, 1.5, True, {"mode": {"dark": True}}, ["a", 1], None, ""])
async def test_values_of_any_json_type_come_back(client: httpx.AsyncClient, value: Any) -> None:
    assert (await add(client, key="k", value=value))["value"] == value


@pytest.mark.parametrize(
    "good",
    [
        {"content": "x"},
        {"content": "ñ" * 10_000},
        {"user_id": "u" * 255},
        {"key": "k" * 255},
        {"confidence": 0},
        {"confidence": 1},
        {"importance": 1},
        {"importance": 5},
        {"metadata": nested(5)},
        {"metadata": {"a": "x" * (5120 - len('{"a": ""}'))}},
        {"metadata": None},
        {"ttl_seconds": 2_147_483_647},
        {"type": None, "memory_type": "event"},
        {"memory_type": "preference"},
    ],
    ids=lambda good: next(iter(good)),
)
async def test_at_the_limit_it_is_stored(client: httpx.AsyncClient, good: dict[str, Any]) -> None:
    await add(client, **good)


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({"content": ""}, "content"),
        ({"content": " \n"}, "content"),
        ({"content": "x" * 10_001}, "content"),
        ({"content": "a\x00b"}, "content"),
        ({"content": 7}, "content"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": "u" * 256}, "user_id"),
        ({"key": "k" * 256}, "key"),
        ({"key": ""}, "key"),
        ({"confidence": -0.01}, "confidence"),
        ({"confidence": 1.01}, "confidence"),
        ({"confidence": True}, "confidence"),
        ({"confidence": "high"}, "confidence"),
        ({"importance": 0}, "importance"),
        ({"importance": 6}, "importance"),
        ({"importance": 2.5}, "importance"),
        ({"importance": True}, "importance"),
        ({"metadata": nested(6)}, "metadata"),
        ({"metadata": {"a": "x" * (5121 - len('{"a": ""}'))}}, "metadata"),
        ({"metadata": ["no object"]}, "metadata"),
        ({"value": "x" * 20_000}, "value"),
        ({"ttl_seconds": 0}, "ttl_seconds"),
        ({"ttl_seconds": 2_147_483_648}, "ttl_seconds"),
        ({"ttl_seconds": "3600"}, "ttl_seconds"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "9999-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2099-01-01T00:00:00Z", "ttl_seconds": 60}, "ttl_seconds"),
        ({"key": "k", "valid_from": "0001-01-01T00:00:00Z"}, "valid_from"),
        ({"key": "k", "valid_from": "9999-12-31T23:59:59Z"}, "valid_from"),
        ({"type": "opinion"}, "fact, preference, event, system"),
        ({"type": None}, "fact, preference, event, system"),
        ({"memory_type": "fact"}, "memory_type"),
        ({"persona": "nobody"}, "nobody"),
    ],
)
async def test_beyond_the_limit_it_is_refused_by_name(
    client: httpx.AsyncClient, bad: dict[str, Any], named: str
) -> None:
    answer = await client.post("/api/v1/memory", json=MEMORY | bad)
    assert answer.status_code == (404 if "persona" in bad else 400), answer.text
    assert named in answer.json()["detail"]
    assert await listed(client) == []


@pytest.mark.parametrize("mode", ["automatic", "", None, 5, ["rules"]])
async def test_unknown_ingestion_modes_get_the_documented_words(client: httpx.AsyncClient, mode: Any) -> None:
    answer = await client.post("/api/v1/memory", json=MEMORY | {"ingestion_mode": mode})
    assert answer.status_code == 400
    assert answer.json()["detail"] == "Invalid ingestion_mode. Must be one of: explicit, rules"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("type", "'opinion'"),
        ("content", "repeat('x', 10001)"),
        ("content", "E' \\n'"),
        ("key", "repeat('k', 256)"),
        ("user_id", "repeat('u', 256)"),
        ("confidence", "1.01"),
        ("importance", "6"),
        ("ingestion_mode", "'automatic'"),
        ("metadata", "jsonb_build_object('a', repeat('x', 5200))"),
        ("metadata", """'{"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}'"""),
        ("metadata", """'{"a": [[[[[1]]]]]}'"""),
        ("ttl_seconds", "0"),
        ("ttl_seconds", "60"),  # without the moment it leads to
        ("valid_to", "valid_from - interval '1 second'"),
    ],
)
async def test_the_database_holds_the_limits_too(
    client: httpx.AsyncClient, superuser: AsyncEngine, column: str, value: str
) -> None:
    made = await add(client)
    change = text(f"UPDATE memories SET {column} = {value} WHERE id = :id")
    async with superuser.connect() as connection:
        with pytest.raises(IntegrityError):
            await connection.execute(change, {"id": made["id"]})


async def test_rules_read_the_content(client: httpx.AsyncClient) -> None:
    made = await add(client, content="preference:theme=dark", ingestion_mode="rules")
    assert (made["type"], made["key"], made["value"], made["ingestion_mode"]) == (
        "preference",
        "theme",
        "dark",
        "rules",
    )
    plain = await add(client, content="Test", type="fact", ingestion_mode="rules")
    assert (plain["content"], plain["key"], plain["value"]) == ("Test", None, None)
    for contradiction in ({"type": "fact"}, {"key": "other"}):
        body = MEMORY | {"content": "preference:theme=dark", "ingestion_mode": "rules"} | contradiction
        assert (await client.post("/memory", json=body)).status_code == 400


async def test_lifetimes_follow_from_each_other(client: httpx.AsyncClient) -> None:
    made = await add(client, ttl_seconds=3600)
    created, expires = (datetime.fromisoformat(made[name]) for name in ("created_at", "expires_at"))
    assert expires - created == timedelta(hours=1)
    later = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    assert (await add(client, expires_at=later))["ttl_seconds"] in range(7000, 7201)


async def test_the_newer_supersedes_and_the_older_keeps_its_interval(client: httpx.AsyncClient) -> None:
    first = await add(client, key="city", value="Madrid")
    other = await add(client, key="town", value="Lugo")
    second = await add(client, key="city", value="Bilbao")
    assert {one["value"] for one in await listed(client)} == {"Bilbao", "Lugo"}
    old, new = (await client.get(f"/memory/{second['id']}/history")).json()["items"]
    assert (old["id"], old["superseded_by"], old["valid_to"]) == (first["id"], second["id"], new["valid_from"])
    assert {one["id"] for one in await listed(client, superseded=True)} == {first["id"], second["id"], other["id"]}
    stats = (await client.get("/memory/stats", params={"user_id": "user_123"})).json()
    assert (stats["total"], stats["by_type"]) == (2, {"preference": 2})


async def test_a_supersede_can_be_undone(client: httpx.AsyncClient) -> None:
    first = await add(client, key="city", value="Madrid")
    second = await add(client, key="city", value="Bilbao")
    back = (await client.post(f"/memory/{second['id']}/undo")).json()
    assert (back["id"], back["valid_to"], back["superseded_by"]) == (first["id"], None, None)
    assert [one["value"] for one in await listed(client)] == ["Madrid"]
    assert (await client.post(f"/memory/{first['id']}/undo")).status_code == 409
    assert (await client.post(f"/memory/{second['id']}/undo")).status_code == 404


async def test_other_people_and_other_personas_keep_theirs(client: httpx.AsyncClient) -> None:
    await add(client, key="city", value="Madrid")
    await add(client, user_id="other", key="city", value="Lugo")
    await add(client, key="city", value="Bilbao", persona="casiopy")
    assert {(one["value"], one["persona"]) for one in await listed(client)} == {("Madrid", None), ("Bilbao", "casiopy")}


async def test_a_latecomer_takes_its_place_in_the_past(client: httpx.AsyncClient) -> None:
    current = await add(client, key="city", value="Bilbao")
    late = await add(client, key="city", value="Madrid", valid_from="2020-01-01T00:00:00Z")
    assert (late["valid_to"], late["superseded_by"]) == (current["valid_from"], current["id"])
    assert [one["value"] for one in await listed(client)] == ["Bilbao"]


async def test_writers_at_once_leave_one_current_memory(client: httpx.AsyncClient) -> None:
    await asyncio.gather(*(add(client, key="city", value=number) for number in range(12)))
    assert len(await listed(client)) == 1
    history = (await client.get("/memory", params={"user_id": "user_123", "superseded": True})).json()
    assert {one["value"] for one in history} == set(range(12))


async def test_what_expired_leaves_at_once_and_stays_in_the_table(
    client: httpx.AsyncClient, superuser: AsyncEngine
) -> None:
    made = await add(client, key="mood", ttl_seconds=3600)
    async with superuser.begin() as connection:
        past = "UPDATE memories SET expires_at = now() - interval '1 second' WHERE id = :id"
        await connection.execute(text(past), {"id": made["id"]})
    assert await listed(client) == []
    assert [one["id"] for one in await listed(client, expired=True)] == [made["id"]]
    stats = (await client.get("/memory/stats", params={"user_id": "user_123"})).json()
    assert (stats["total"], stats["expired"], stats["deleted"]) == (0, 1, 0)
    following = await add(client, key="mood")
    assert [one["id"] for one in await listed(client)] == [following["id"]]


async def test_soft_and_hard_deletes(client: httpx.AsyncClient, superuser: AsyncEngine) -> None:
    made = await add(client)
    for user in ("other", "user_123"):
        answer = await client.delete(f"/api/v1/memory/{made['id']}/soft", params={"user_id": user})
        assert answer.status_code == (404 if user == "other" else 200)
    assert await listed(client) == []
    assert (await client.get(f"/memory/{made['id']}")).status_code == 404
    assert (await client.delete(f"/memory/{made['id']}/soft")).status_code == 404
    async with superuser.connect() as connection:
        kept = text("SELECT is_deleted, updated_at > created_at AS touched FROM memories WHERE id = :id")
        row = (await connection.execute(kept, {"id": made["id"]})).one()
    assert (row.is_deleted, row.touched) == (True, True)
    assert (await client.delete(f"/memory/{made['id']}")).status_code == 200
    assert (await client.delete(f"/memory/{made['id']}")).status_code == 404


@pytest.mark.parametrize("identity", ["mem_abc123", "stats2", "01a1fd44-7d98-77d5-8f4d-b5d2f2f6ccd3", "%20"])
async def test_what_is_no_memory_is_not_found(client: httpx.AsyncClient, identity: str) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("DELETE", "/soft"), ("GET", "/history"), ("POST", "/undo")):
        assert (await client.request(method, f"/memory/{identity}{path}")).status_code == 404, (method, path)


async def test_stats_have_the_documented_keys(client: httpx.AsyncClient) -> None:
    empty = (await client.get("/memory/stats", params={"user_id": "nobody"})).json()
    assert empty == {
        "total": 0,
        "deleted": 0,
        "expired": 0,
        "by_type": {},
        "by_importance": {},
        "oldest": None,
        "newest": None,
    }
    await add(client, importance=4)
    await add(client, type="fact", importance=4)
    await add(client, type="event")
    stats = (await client.get("/memory/stats", params={"user_id": "user_123"})).json()
    assert set(stats) == set(empty)
    assert (stats["total"], stats["by_importance"]) == (3, {"4": 2})
    assert stats["by_type"] == {"preference": 1, "fact": 1, "event": 1}


async def test_the_list_is_a_bare_array_that_can_be_paged(client: httpx.AsyncClient) -> None:
    made = [await add(client, content=f"memory {number}", importance=number) for number in range(1, 6)]
    seen: list[str] = []
    parameters: dict[str, Any] = {"user_id": "user_123", "limit": 2}
    while True:
        answer = await client.get("/api/v1/memory", params=parameters)
        assert answer.headers["X-Total-Count"] == "5"
        seen += [one["id"] for one in answer.json()]
        if "X-Next-Cursor" not in answer.headers:
            break
        parameters["cursor"] = answer.headers["X-Next-Cursor"]
    assert seen == [one["id"] for one in reversed(made)]
    assert len(await listed(client, min_importance=4)) == 2
    assert await listed(client, memory_type="fact") == []
    assert (await client.get("/memory")).status_code == 400


async def test_other_slices_remember_through_the_same_door(database: Database, owner: str) -> None:
    async with database.transaction(owner) as connection:
        await service.remember(connection, owner, "u", Draft("fact", "location: Madrid", "location", "Madrid"))
        retired = await service.retire(connection, "u", "location")
        assert retired is not None
        assert (retired.value, retired.superseded_by, await service.current(connection, "u")) == ("Madrid", None, [])
        assert await service.retire(connection, "u", "location") is None
        await service.remember(connection, owner, "u", Draft("fact", "location: Bilbao", "location", "Bilbao"))
        assert [one.value for one in await service.current(connection, "u", keys=["location"])] == ["Bilbao"]


async def test_a_retirement_waits_for_the_successor_that_comes_in_meanwhile(
    database: Database, superuser: AsyncEngine, owner: str
) -> None:
    async with database.transaction(owner) as connection:
        first = await service.remember(connection, owner, "u", Draft("fact", "city: Madrid", "city", "Madrid"))

    async def retire() -> None:
        async with database.transaction(owner) as connection:
            await service.retire(connection, "u", "city")

    async with database.transaction(owner) as connection:
        second = await service.remember(connection, owner, "u", Draft("fact", "city: Bilbao", "city", "Bilbao"))
        retiring = asyncio.create_task(retire())
        async with superuser.connect() as watch:
            while not await watch.scalar(_WAITING):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    await retiring
    async with database.transaction(owner) as connection:
        old, new = [await service.get(connection, one.id) for one in (first, second)]
    assert (old.superseded_by, old.valid_to) == (second.id, second.valid_from)
    assert new.valid_to is not None


@pytest.mark.parametrize("value", [r'"a\u0000b"', r'"\ud800"', "1e999", "[" * 900 + "]" * 900])
async def test_rules_refuse_what_cannot_be_stored(client: httpx.AsyncClient, value: str) -> None:
    body = MEMORY | {"content": f"preference:theme={value}", "ingestion_mode": "rules"}
    answer = await client.post("/memory", json=body)
    assert answer.status_code == 400, answer.text
    assert "content" in answer.json()["detail"]


async def test_a_key_that_cannot_be_stored_is_refused_in_the_list(client: httpx.AsyncClient) -> None:
    answer = await client.get("/memory", params={"user_id": "user_123", "key": "a\x00b"})
    assert answer.status_code == 400, answer.text
