"""After an erasure nothing of the viewer is left anywhere, and nobody else has lost anything."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from memory_service.app import create_app
from memory_service.settings import Settings
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from .conftest import Post, run

MENTIONS = """
    SELECT count(*) FROM {table} AS kept
    WHERE position(:word IN to_jsonb(kept)::text) > 0
       OR position(encode(convert_to(:word, 'UTF8'), 'hex') IN to_jsonb(kept)::text) > 0
"""


async def mentions(superuser: AsyncEngine, word: str) -> dict[str, int]:
    """The tables that hold `word` in any column, bytes and queue tables included."""
    found = {}
    async with superuser.connect() as connection:
        tables = await connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        for table in tables.all():
            count = await connection.scalar(text(MENTIONS.format(table=table)), {"word": word})
            if count:
                found[table] = count
    return found


async def everyone_else(superuser: AsyncEngine, owner: str, user_id: str) -> dict[str, set[str]]:
    """Ids of the rows of a viewer, by table."""
    rows = {}
    async with superuser.connect() as connection:
        for table in ("sessions", "interactions", "memories", "recall_documents", "embeddings"):
            key = "document_id" if table == "embeddings" else "id"
            query = text(f"SELECT {key} FROM {table} WHERE owner_id = :owner AND user_id = :user")
            rows[table] = {str(one) for one in await connection.scalars(query, {"owner": owner, "user": user_id})}
    return rows


@pytest.mark.parametrize("user_id", ["viewer-ana-secreta", "session:charla_7", "twitch/ana maría%2F用户"])
async def test_nothing_is_left_in_any_table(
    client: httpx.AsyncClient, superuser: AsyncEngine, settle_in: Any, user_id: str
) -> None:
    viewer = await settle_in(user_id)
    before = await mentions(superuser, viewer.secret)
    assert set(before) >= {
        "sessions", "interactions", "memories", "feedback", "session_summaries", "topics", "idempotent_requests"
    }  # fmt: skip
    answer = await client.delete("/api/v1/gdpr/delete", params={"user_id": user_id})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["user_id"] == user_id
    assert body["deleted"] == {
        "sessions": 1, "interactions": 2, "memories": 3, "feedback": 1, "summaries": 1, "vectors": 5
    }  # fmt: skip
    assert await mentions(superuser, viewer.secret) == {}
    assert await mentions(superuser, user_id) == {}
    again = await client.delete("/gdpr/delete", params={"user_id": user_id})
    assert (again.status_code, again.json()["error"]) == (404, "not_found")


async def test_what_learned_from_the_viewer_is_tainted_and_named(
    client: httpx.AsyncClient, superuser: AsyncEngine, settle_in: Any, owner: str
) -> None:
    await settle_in("ana")
    await settle_in("bea")
    tainted = (await client.delete("/gdpr/delete", params={"user_id": "ana"})).json()["tainted"]
    assert [len(tainted[kind]) for kind in ("exports", "adapters", "deployments")] == [1, 1, 1]
    assert tainted["adapters"] == [f"from {tainted['exports'][0]}"]
    assert (tainted["deployments"][0]["tag"], tainted["deployments"][0]["live"]) == (
        f"tag-{tainted['exports'][0]}",
        True,
    )
    async with superuser.connect() as connection:
        for table, name in (("training_exports", "export_id"), ("lora_versions", "adapter_id")):
            query = f"SELECT {name} FROM {table} WHERE owner_id = :owner AND tainted_at IS NOT NULL"
            marked = (await connection.scalars(text(query), {"owner": owner})).all()
            assert list(marked) == tainted["exports" if table == "training_exports" else "adapters"]


async def test_nobody_else_loses_anything(
    client: httpx.AsyncClient, superuser: AsyncEngine, settle_in: Any, owner: str
) -> None:
    await settle_in("ana")
    bea = await settle_in("bea")
    opinion = {"rating": 2, "comment": "ana opina", "user_id": "ana"}
    await client.post(f"/interactions/{bea.interactions[0]}/feedback", json=opinion)
    before = await everyone_else(superuser, owner, "bea")
    deleted = (await client.delete("/gdpr/delete", params={"user_id": "ana"})).json()["deleted"]
    assert deleted["feedback"] == 2, "on the viewer's exchange, and the viewer's own on bea's"
    assert await everyone_else(superuser, owner, "bea") == before
    assert await mentions(superuser, "ana opina") == {}
    assert (await client.get(f"/interactions/{bea.interactions[0]}/feedback")).json()["total"] == 1
    assert "topics" in await mentions(superuser, bea.secret)
    refreshes = await run(superuser, "SELECT count(*) FROM pgqueuer WHERE entrypoint = 'refresh_topics'")
    assert refreshes >= 1


@pytest.fixture
async def elsewhere(settings: Settings, migrated_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The same database as another owner sees it."""
    app = create_app(settings.model_copy(update={"default_owner": f"{settings.default_owner}-b"}), migrated_url)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8820") as http,
    ):
        yield http


async def test_another_owners_viewer_of_the_same_name_stays(
    client: httpx.AsyncClient, elsewhere: httpx.AsyncClient, settle_in: Any
) -> None:
    await settle_in("ana")
    memory = {"user_id": "ana", "content": "theirs", "type": "fact"}
    key = {"Idempotency-Key": "theirs"}
    stored = (await elsewhere.post("/memory", json=memory, headers=key)).json()
    assert (await elsewhere.post("/gdpr/delete", json={})).status_code == 405
    assert (await client.delete("/gdpr/delete", params={"user_id": "ana"})).status_code == 200
    assert [one["id"] for one in (await elsewhere.get("/memory", params={"user_id": "ana"})).json()] == [stored["id"]]
    replay = await elsewhere.post("/memory", json=memory, headers=key)
    assert replay.headers["idempotent-replay"] == "true"
    assert (await client.get("/gdpr/export", params={"user_id": "ana"})).status_code == 404
    assert (await elsewhere.get("/gdpr/export", params={"user_id": "ana"})).status_code == 200


async def test_who_only_rated_others_can_be_erased_too(
    client: httpx.AsyncClient, open_session: Post, tell: Post
) -> None:
    exchange = await tell(await open_session("bea"))
    opinion = {"rating": 2, "comment": "regular", "user_id": "critic"}
    await client.post(f"/interactions/{exchange['id']}/feedback", json=opinion)
    held = (await client.get("/gdpr/export", params={"user_id": "critic"})).json()
    assert held["user"] is None
    assert [one["comment"] for one in held["feedback_given"]] == ["regular"]
    erased = (await client.delete("/gdpr/delete", params={"user_id": "critic"})).json()
    assert erased["deleted"]["feedback"] == 1
    assert (await client.get("/gdpr/export", params={"user_id": "critic"})).status_code == 404


async def test_an_erasure_under_a_key_leaves_no_answer_behind(
    client: httpx.AsyncClient, superuser: AsyncEngine, open_session: Post
) -> None:
    await open_session("ana-with-a-key")
    first, second = [
        await client.delete("/gdpr/delete", params={"user_id": "ana-with-a-key"}, headers={"Idempotency-Key": "bye"})
        for _ in range(2)
    ]
    assert (first.status_code, second.status_code) == (200, 404)
    assert await mentions(superuser, "ana-with-a-key") == {}


async def test_who_writes_at_the_same_moment_leaves_no_orphan(
    client: httpx.AsyncClient, superuser: AsyncEngine, open_session: Post, tell: Post, owner: str
) -> None:
    sessions = [await open_session("ana") for _ in range(3)]
    memory = {"user_id": "ana", "content": "x", "type": "fact", "key": "k", "value": 1}

    async def write(turn: int) -> set[int]:
        exchange = {"session_id": sessions[turn % 3]["id"], "input_text": "hola", "output_text": "*suspiro*"}
        stored = await client.post("/interactions", json=exchange)
        kept = await client.post("/memory", json=memory)
        return {stored.status_code, kept.status_code}

    writes = [asyncio.create_task(write(turn)) for turn in range(12)]
    await asyncio.sleep(0.02)
    erased = await client.delete("/gdpr/delete", params={"user_id": "ana"})
    assert erased.status_code == 200, erased.text
    # 400, 404: the viewer or the session had just gone; 409: both wanted the same rows. Never a defect.
    assert set().union(*await asyncio.gather(*writes)) <= {200, 201, 400, 404, 409}
    await client.delete("/gdpr/delete", params={"user_id": "ana"})
    rows = await everyone_else(superuser, owner, "ana")
    assert rows == {name: set() for name in rows}


@pytest.mark.parametrize("user_id", ["", "x" * 256, "a\x00b"])
async def test_an_id_that_can_be_nobodys_is_refused(client: httpx.AsyncClient, user_id: str) -> None:
    for method, path in (("GET", "/gdpr/export"), ("DELETE", "/gdpr/delete")):
        answer = await client.request(method, path, params={"user_id": user_id})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        assert "user_id" in answer.json()["detail"]
