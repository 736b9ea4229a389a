"""What is handed out is everything, of one moment, in bounded memory, and a reader who leaves holds nothing up."""

import asyncio
import json
import tracemalloc
from contextlib import nullcontext
from typing import Any

import httpx
import pytest
from memory_service.app import create_app
from memory_service.db import Database
from memory_service.gdpr import contents
from memory_service.settings import Settings
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import ClientDisconnect

from .conftest import Post, Viewer, run

# Exchanges of about 2 KB each.
MANY = """
    INSERT INTO interactions (id, owner_id, persona_id, session_id, user_id, input_text, output_text, quality_score, quality,
                              content_hash, occurred_at)
    SELECT gen_random_uuid(), owner_id, persona_id, session_id, user_id, number || repeat(' hola', 200), repeat('adiós ', 160),
           0.5, quality, 'h', occurred_at + number * interval '1 second'
    FROM interactions, generate_series(1, cast(:many AS integer)) AS number WHERE owner_id = :owner AND user_id = :user
"""


async def exported(client: httpx.AsyncClient, user_id: str, **query: Any) -> Any:
    answer = await client.get("/api/v1/gdpr/export", params={"user_id": user_id, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_everything_is_there_and_nothing_of_others(client: httpx.AsyncClient, settle_in: Any) -> None:
    ana, bea = await settle_in("ana"), await settle_in("bea")
    document = await exported(client, "ana")
    assert list(document) == ["user_id", "exported_at", *(section.name for section in contents.SECTIONS)]
    assert document["user"]["id"] == document["user_id"] == "ana"
    assert [(one["id"], one["summary"]) for one in document["sessions"]] == [(ana.sessions[0], ana.secret)]
    assert [one["id"] for one in document["interactions"]] == ana.interactions
    first = document["interactions"][0]
    assert first["quality"]["signals"]
    assert [one["corrected_output"] for one in first["feedback"]] == [ana.secret]
    assert first["topics"] == [{"label": ana.secret, "similarity": 0.5}]
    assert [(one["content"].split()[-1], one["state"]) for one in document["memories"]] == [
        ("old", "superseded"),
        ("new", "current"),
        ("gone", "deleted"),
    ]
    counted = [{"model": "tiny", "revision": "", "dimension": 2, "interactions": 2, "memories": 3}]
    assert (document["vector_counts"], document["vectors"]) == (counted, [])
    used = document["used_in"]
    assert (len(used["exports"]), len(used["adapters"]), len(used["deployments"])) == (1, 1, 1)
    assert bea.secret not in json.dumps(document)


async def test_lines_and_vectors(client: httpx.AsyncClient, settle_in: Any) -> None:
    await settle_in("ana")
    document = await exported(client, "ana", vectors=True)
    assert sorted(one["vector"] for one in document["vectors"]) == [[0.0, 1.0]] * 3 + [[1.0, 0.5]] * 2
    answer = await client.get("/gdpr/export", params={"user_id": "ana", "vectors": True, "format": "ndjson"})
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert answer.headers["content-disposition"] == 'attachment; filename="casiopy-ana.ndjson"'
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line.pop("kind") for line in lines] == [
        "export", "user", "session", *["interaction"] * 2, *["memory"] * 3, "vector_count", *["vector"] * 5, "used_in"
    ]  # fmt: skip
    assert lines[1:] == [
        document["user"], *document["sessions"], *document["interactions"], *document["memories"],
        *document["vector_counts"], *document["vectors"], document["used_in"],
    ]  # fmt: skip


async def test_states_of_memories(client: httpx.AsyncClient, superuser: AsyncEngine, owner: str) -> None:
    for content, more in (("expired", {"ttl_seconds": 60}), ("retired", {"key": "city", "value": "Madrid"})):
        memory = {"user_id": "ana", "content": content, "type": "fact", **more}
        (await client.post("/memory", json=memory)).raise_for_status()
    await run(superuser, "UPDATE memories SET expires_at = now() WHERE owner_id = :o AND content = 'expired'", o=owner)
    (await client.post("/users/ana/memories/batch", json={"city": None})).raise_for_status()
    memories = (await exported(client, "ana"))["memories"]
    assert {one["content"]: one["state"] for one in memories} == {"expired": "expired", "retired": "retired"}


async def test_nobody_is_told_as_such(client: httpx.AsyncClient) -> None:
    answer = await client.get("/gdpr/export", params={"user_id": "nobody"})
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
    refused = await client.get("/gdpr/export", params={"user_id": "nobody", "format": "xml"})
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")


@pytest.fixture
async def talkative(
    request: pytest.FixtureRequest, superuser: AsyncEngine, open_session: Post, tell: Post, owner: str
) -> Viewer:
    """A viewer with as many exchanges as the test's parameter says, and one more."""
    session = await open_session("ana")
    await tell(session)
    await run(superuser, MANY, owner=owner, user="ana", many=request.param)
    return Viewer(owner, "ana", "", [session["id"]])


@pytest.mark.parametrize("talkative", [4000], indirect=True)
async def test_memory_stays_bounded_and_others_writes_stay_out(
    database: Database, superuser: AsyncEngine, talkative: Viewer, open_session: Post, tell: Post
) -> None:
    items = contents.everything(database, talkative.owner, "ana", with_vectors=False)
    assert await anext(items) is None
    await tell(await open_session("ana"))
    seen: dict[str, int] = {}
    tracemalloc.start()
    async for item in items:
        assert item is not None
        seen[item[0].kind] = seen.get(item[0].kind, 0) + 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (seen["session"], seen["interaction"]) == (1, 4001), "as it was when the reading began"
    # The texts alone take 8 MB; 3.5 MB were measured.
    assert peak < 6_000_000
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("talkative", [500], indirect=True)
@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("leaves", ["says so", "send fails"])
async def test_a_reader_who_leaves_gives_the_connection_back(
    settings: Settings, migrated_url: str, client: httpx.AsyncClient, talkative: Viewer, leaves: str, after: int
) -> None:
    """`after` messages; the first is the answer's head."""
    app = create_app(settings, migrated_url)
    gone, sent = asyncio.Event(), 0

    async def receive() -> dict[str, Any]:
        if leaves == "says so":
            await gone.wait()
            return {"type": "http.disconnect"}
        return {"type": "http.request"}

    async def send(message: dict[str, Any]) -> None:
        nonlocal sent
        sent += 1
        if sent > after:
            if leaves == "send fails":
                raise OSError("the reader has left")
            gone.set()
            await asyncio.Event().wait()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3" if leaves == "says so" else "2.4"},
        "method": "GET",
        "path": "/gdpr/export",
        "raw_path": b"/gdpr/export",
        "query_string": b"user_id=ana",
        "headers": [(b"host", b"127.0.0.1:8820")],
        "scheme": "http",
        "http_version": "1.1",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8820),
    }
    async with app.router.lifespan_context(app):
        told = pytest.raises(ClientDisconnect) if leaves == "send fails" else nullcontext()
        with told:
            async with asyncio.timeout(20):
                await app(scope, receive, send)
        pool = app.state.database.engine.pool
        assert pool.checkedout() == 0
    assert sent == after + 1
