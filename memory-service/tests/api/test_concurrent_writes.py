"""Two who want the same rows in opposite order: one is given up by PostgreSQL, and nobody notices."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

Post = Callable[..., Awaitable[dict[str, Any]]]

_WAITING = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
# Of any owner: these tests have one.
_SAME_KEY = text(
    "INSERT INTO idempotent_requests (owner_id, key, request_hash, status, body) "
    "SELECT owner_id, 'one', '', 0, '' FROM interactions"
)


async def test_a_request_with_a_body_and_a_key_is_carried_out_again_once(
    client: httpx.AsyncClient, superuser: AsyncEngine, open_session: Post, tell: Post
) -> None:
    exchange = await tell(await open_session())
    path, headers = f"/interactions/{exchange['id']}/feedback", {"Idempotency-Key": "one"}
    async with superuser.begin() as other, superuser.connect() as watch:
        await other.execute(text("SET LOCAL deadlock_timeout = '1min'"))
        await other.execute(text("SELECT FROM interactions WHERE id = :id FOR UPDATE"), {"id": exchange["id"]})
        asked = asyncio.create_task(client.post(path, json={"rating": 5, "comment": "bien"}, headers=headers))
        while not await watch.scalar(_WAITING):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await other.execute(_SAME_KEY)
        await other.rollback()
    answer = await asked
    assert (answer.status_code, answer.json()["rating"]) == (201, 5)
    assert (await client.get(path)).json()["total"] == 1


async def test_a_request_given_up_for_another_is_carried_out_again(
    client: httpx.AsyncClient, superuser: AsyncEngine
) -> None:
    body = {"user_id": "ana", "type": "fact", "content": "Ana likes rain."}
    stored = (await client.post("/memory", json=body)).json()
    async with superuser.begin() as other, superuser.connect() as watch:
        await other.execute(text("SET LOCAL deadlock_timeout = '1min'"))  # so the request is the one given up
        await other.execute(text("SELECT FROM recall_documents WHERE memory_id = :id FOR UPDATE"), {"id": stored["id"]})
        asked = asyncio.create_task(client.delete(f"/memory/{stored['id']}", params={"user_id": "ana"}))
        while not await watch.scalar(_WAITING):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await other.execute(text("UPDATE memories SET confidence = 0.5 WHERE id = :id"), {"id": stored["id"]})
    answer = await asked
    assert (answer.status_code, answer.json()["deleted"]) == (200, "hard")
    assert (await client.get(f"/memory/{stored['id']}", params={"user_id": "ana"})).status_code == 404
