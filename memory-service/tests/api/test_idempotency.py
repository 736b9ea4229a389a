"""A write repeated under one Idempotency-Key happens once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

Post = Callable[..., Awaitable[dict[str, Any]]]


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
