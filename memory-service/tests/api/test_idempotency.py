"""A write repeated under one Idempotency-Key happens once."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

Post = Callable[..., Awaitable[dict[str, Any]]]
Gates = Callable[[AsyncEngine, str], AbstractAsyncContextManager[Any]]

_OLD_KEYS = text("""
    INSERT INTO idempotent_requests (owner_id, key, request_hash, status, body, created_at)
    SELECT :owner, 'old-' || number, '', 200, '', now() - interval '25 hours' FROM generate_series(1, 90) AS number
""")


async def test_the_same_request_is_answered_again(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "one"}
    first = await client.post("/sessions", json={"user_id": "ana"}, headers=headers)
    again = await client.post("/sessions", json={"user_id": "ana"}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert "idempotent-replay" not in first.headers
    assert again.headers["idempotent-replay"] == "true"
    assert (await client.get("/sessions")).json()["total"] == 1


async def test_answers_without_a_body_are_remembered_too(client: httpx.AsyncClient) -> None:
    entry = {"category": "like", "key": "rain", "value": "Te gusta la lluvia.", "is_mutable": True}
    stored = (await client.post("/core-memory", json=entry)).json()
    headers = {"Idempotency-Key": "gone"}
    for _ in range(2):
        answer = await client.delete(f"/core-memory/{stored['id']}", headers=headers)
        assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize(
    ("path", "body"),
    [("/sessions", {"user_id": "bea"}), ("/sessions?persona=x", {"user_id": "ana"}), ("/core-memory", {})],
)
async def test_another_request_under_the_same_key_is_refused(
    client: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    headers = {"Idempotency-Key": "one"}
    await client.post("/sessions", json={"user_id": "ana"}, headers=headers)
    answer = await client.post(path, json=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (409, "conflict")
    assert (await client.get("/sessions")).json()["total"] == 1


async def test_at_the_same_moment_one_writes_and_the_others_are_told(
    client: httpx.AsyncClient, open_session: Post, superuser: AsyncEngine, owner: str
) -> None:
    session = await open_session()
    body = {"session_id": session["id"], "input_text": "hola", "output_text": "*suspiro* Hola, mortal."}
    requests = [client.post("/interactions", json=body, headers={"Idempotency-Key": "hola-1"}) for _ in range(8)]
    answers = await asyncio.gather(*requests)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotent-replay" not in answer.headers for answer in answers) == 1
    assert (await client.get("/interactions")).json()["total"] == 1
    async with superuser.connect() as connection:
        jobs = text("SELECT count(*) FROM pgqueuer WHERE convert_from(payload, 'UTF8') LIKE '%' || :owner || '%'")
        assert await connection.scalar(jobs, {"owner": owner}) == 1


async def test_a_failure_is_not_remembered(client: httpx.AsyncClient, open_session: Post) -> None:
    headers = {"Idempotency-Key": "later"}
    bad = await client.post("/sessions", json={"user_id": ""}, headers=headers)
    good = await client.post("/sessions", json={"user_id": "ana"}, headers=headers)
    assert (bad.status_code, good.status_code) == (400, 201)


async def test_without_a_key_every_request_counts(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        await client.post("/sessions", json={"user_id": "ana"})
    assert (await client.get("/sessions")).json()["total"] == 2


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_keys_have_1_to_255_characters(client: httpx.AsyncClient, key: str) -> None:
    answer = await client.post("/sessions", json={"user_id": "ana"}, headers={"Idempotency-Key": key})
    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["detail"]


async def test_keys_are_forgotten_after_a_day(client: httpx.AsyncClient, superuser: AsyncEngine, owner: str) -> None:
    headers = {"Idempotency-Key": "old"}
    await client.post("/sessions", json={"user_id": "ana"}, headers=headers)
    async with superuser.begin() as connection:
        age = text("UPDATE idempotent_requests SET created_at = now() - interval '25 hours' WHERE owner_id = :owner")
        await connection.execute(age, {"owner": owner})
    answer = await client.post("/sessions", json={"user_id": "bea"}, headers=headers)
    assert answer.status_code == 201


async def test_forgetting_old_keys_holds_nobody_up(
    client: httpx.AsyncClient, open_session: Post, tell: Post, superuser: AsyncEngine, owner: str
) -> None:
    exchange = await tell(await open_session())
    path = f"/interactions/{exchange['id']}/feedback"
    async with superuser.begin() as connection:
        await connection.execute(_OLD_KEYS, {"owner": owner})
    async with superuser.begin() as other:
        await other.execute(text("SELECT FROM interactions WHERE id = :id FOR UPDATE"), {"id": exchange["id"]})
        slow = asyncio.create_task(client.post(path, json={"rating": 5}, headers={"Idempotency-Key": "slow"}))
        waits = text(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        async with asyncio.timeout(60), superuser.connect() as watching:
            await watching.execution_options(isolation_level="AUTOCOMMIT")
            while not await watching.scalar(waits):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        async with asyncio.timeout(20):
            quick = await client.post("/sessions", json={"user_id": "ana"}, headers={"Idempotency-Key": "quick"})
        assert (quick.status_code, slow.done()) == (201, False)
    assert (await slow).status_code == 201
    async with superuser.connect() as connection:
        left = text("SELECT count(*) FROM idempotent_requests WHERE owner_id = :owner AND key LIKE 'old-%'")
        assert await connection.scalar(left, {"owner": owner}) == 50


async def test_an_old_key_is_free_even_where_many_older_ones_wait_to_be_forgotten(
    client: httpx.AsyncClient, superuser: AsyncEngine, owner: str
) -> None:
    await client.post("/sessions", json={"user_id": "ana"})
    async with superuser.begin() as connection:
        await connection.execute(_OLD_KEYS, {"owner": owner})
    for key in ("old-90", "old-1"):
        for replayed in (None, "true"):
            answer = await client.post("/sessions", json={"user_id": "bea"}, headers={"Idempotency-Key": key})
            assert (answer.status_code, answer.headers.get("idempotent-replay")) == (201, replayed)


async def test_a_key_given_back_while_it_is_asked_for_is_no_error(
    client: httpx.AsyncClient, superuser: AsyncEngine, owner: str, gate: Gates
) -> None:
    headers = {"Idempotency-Key": "one"}
    await client.post("/sessions", json={"user_id": "ana"}, headers=headers)
    # The second request has found the key taken and not yet read what was answered: now the key goes away.
    async with gate(superuser, "AFTER INSERT ON idempotent_requests FOR EACH STATEMENT") as held:
        again = asyncio.create_task(client.post("/sessions", json={"user_id": "ana"}, headers=headers))
        await held.waiting()
        async with superuser.begin() as other:
            giving_back = asyncio.create_task(
                other.execute(text("DELETE FROM idempotent_requests WHERE owner_id = :owner"), {"owner": owner})
            )
            both_wait = asyncio.create_task(held.waiting(2))
            await asyncio.wait({giving_back, both_wait}, return_when=asyncio.FIRST_COMPLETED)
            both_wait.cancel()
            if not giving_back.done():
                await held.open()
            await giving_back
        await held.open()
        answer = await again
    assert (answer.status_code, answer.headers["idempotent-replay"]) == (201, "true")
