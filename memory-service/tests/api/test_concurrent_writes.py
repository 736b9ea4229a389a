"""Two who want the same rows in opposite order: one is given up by PostgreSQL, and nobody notices."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

Post = Callable[..., Awaitable[dict[str, Any]]]
Gates = Callable[[AsyncEngine, str], AbstractAsyncContextManager[Any]]

# Looked for so late, the deadlock is found by the request, which is the one given up.
_LATE = text("SET LOCAL deadlock_timeout = '1min'")
# Of any owner: these tests have one.
_SAME_KEY = text(
    "INSERT INTO idempotent_requests (owner_id, key, request_hash, status, body) "
    "SELECT owner_id, 'one', '', 0, '' FROM interactions"
)


async def test_a_request_with_a_body_and_a_key_is_carried_out_again_once(
    client: httpx.AsyncClient, superuser: AsyncEngine, open_session: Post, tell: Post, gate: Gates
) -> None:
    exchange = await tell(await open_session())
    path, headers = f"/interactions/{exchange['id']}/feedback", {"Idempotency-Key": "one"}
    # The request has its key and not yet the exchange; the other waits for the key first.
    async with gate(superuser, "AFTER INSERT ON idempotent_requests FOR EACH STATEMENT") as held:
        async with superuser.begin() as other:
            await other.execute(_LATE)
            await other.execute(text("SELECT FROM interactions WHERE id = :id FOR UPDATE"), {"id": exchange["id"]})
            asked = asyncio.create_task(client.post(path, json={"rating": 5, "comment": "bien"}, headers=headers))
            await held.waiting()
            same_key = asyncio.create_task(other.execute(_SAME_KEY))
            await held.waiting(2)
            await held.open()
            await same_key
            await other.rollback()
        answer = await asked
    assert (answer.status_code, answer.json()["rating"]) == (201, 5)
    assert (await client.get(path)).json()["total"] == 1


async def test_a_request_given_up_for_another_is_carried_out_again(
    client: httpx.AsyncClient, superuser: AsyncEngine, gate: Gates
) -> None:
    body = {"user_id": "ana", "type": "fact", "content": "Ana likes rain."}
    stored = (await client.post("/memory", json=body)).json()
    change = text("UPDATE memories SET confidence = 0.5 WHERE id = :id")
    # The request has the memory and not yet its document; the other waits for the memory first.
    async with gate(superuser, "BEFORE DELETE ON recall_documents FOR EACH STATEMENT") as held:
        async with superuser.begin() as other:
            await other.execute(_LATE)
            await other.execute(
                text("SELECT FROM recall_documents WHERE memory_id = :id FOR UPDATE"), {"id": stored["id"]}
            )
            asked = asyncio.create_task(client.delete(f"/memory/{stored['id']}", params={"user_id": "ana"}))
            await held.waiting()
            changing = asyncio.create_task(other.execute(change, {"id": stored["id"]}))
            await held.waiting(2)
            await held.open()
            await changing
        answer = await asked
    assert (answer.status_code, answer.json()["deleted"]) == (200, "hard")
    assert (await client.get(f"/memory/{stored['id']}", params={"user_id": "ana"})).status_code == 404
