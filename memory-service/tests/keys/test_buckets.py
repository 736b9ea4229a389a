"""No key gets more than its bucket holds and refills, however its requests arrive."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory_service.db import Database, asyncpg_arguments
from memory_service.limits import Allowance
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

TAKE = "SELECT * FROM take_token($1, $2)"
# Time passes for a bucket when its last refill moves into the past: the clock itself is PostgreSQL's.
PASS = "UPDATE rate_limit_buckets SET refilled_at = refilled_at - make_interval(secs => $2) WHERE bucket = $1"


def _greedy(limit: int, pauses: list[float]) -> list[bool]:
    """What a bucket of `limit` answers to one request after each pause, by the definition of a token bucket."""
    tokens, answers = float(limit), []
    for pause in pauses:
        tokens = min(limit, tokens + pause * limit / 60)
        answers.append(tokens >= 1)
        tokens -= answers[-1]
    return answers


async def _asked(url: str, limit: int, pauses: list[float]) -> tuple[list[Any], float]:
    """The database's answers to the same, and how many seconds really passed meanwhile."""
    arguments = asyncpg_arguments(url) | {"server_settings": {}}
    connection, bucket, answers = await asyncpg.connect(**arguments), str(uuid4()), []
    started = time.monotonic()
    for pause in pauses:
        await connection.execute(PASS, bucket, pause)
        answers.append(await connection.fetchrow(TAKE, bucket, limit))
    elapsed = time.monotonic() - started
    await connection.close()
    return answers, elapsed


@given(
    limit=st.integers(1, 40),
    pauses=st.lists(st.one_of(st.just(0.0), st.floats(0, 5), st.floats(0, 90)), min_size=1, max_size=60),
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_a_bucket_does_what_the_definition_says(migrated_url: str, limit: int, pauses: list[float]) -> None:
    with ThreadPoolExecutor(1) as thread:
        answers, elapsed = thread.submit(asyncio.run, _asked(migrated_url, limit, pauses)).result()
    least = sum(_greedy(limit, pauses))
    most = sum(_greedy(limit, [pause + elapsed for pause in pauses]))
    assert least <= sum(answer["taken"] for answer in answers) <= most
    # Never more than was there at first and has come since.
    assert sum(answer["taken"] for answer in answers) <= limit + (sum(pauses) + elapsed) * limit / 60
    for answer in answers:
        assert 0 <= answer["remaining"] <= limit
        assert answer["taken"] or answer["remaining"] == 0
        assert (answer["next_in"] == 0) == (answer["remaining"] >= 1)
        assert 0 <= answer["next_in"] <= 60 / limit + 1e-6
        assert 0 <= answer["full_in"] <= 60 + 1e-6


async def test_a_smaller_limit_counts_at_once(superuser: AsyncEngine) -> None:
    bucket = str(uuid4())
    async with superuser.begin() as connection:
        for limit, remaining in ((100, 99), (10, 9), (100, 8)):
            row = (await connection.execute(text("SELECT * FROM take_token(:b, :l)"), {"b": bucket, "l": limit})).one()
            assert (row.taken, row.remaining) == (True, remaining)


async def _drain(url: str, bucket: str, limit: int, requests: int) -> int:
    """How many of `requests`, ten at a time over connections of their own, got a token."""
    database, taken = Database(url), 0

    async def one(_: int) -> bool:
        async with database.unowned() as connection:
            query = text("SELECT taken FROM take_token(:bucket, :limit)")
            return bool(await connection.scalar(query, {"bucket": bucket, "limit": limit}))

    for start in range(0, requests, 10):
        taken += sum(await asyncio.gather(*map(one, range(start, start + 10))))
    await database.close()
    return taken


def test_two_processes_share_one_bucket(migrated_url: str) -> None:
    bucket, limit, requests = str(uuid4()), 300, 400
    started = time.monotonic()
    with ThreadPoolExecutor(2) as threads:
        each = [threads.submit(asyncio.run, _drain(migrated_url, bucket, limit, requests)) for _ in range(2)]
        taken = sum(one.result() for one in each)
    refilled = (time.monotonic() - started) * limit / 60
    assert limit <= taken <= limit + refilled


@pytest.mark.parametrize("rate_limit", [7])
async def test_two_services_share_one_bucket(make_key: Any, open_service: Any, rate_limit: int) -> None:
    key, _ = await make_key(rate_limit=rate_limit)
    headers, started = {"Authorization": f"Bearer {key}"}, time.monotonic()
    async with open_service() as one, open_service() as two:
        answers: list[httpx.Response] = await asyncio.gather(
            *(service.get("/personas", headers=headers) for service in (one, two) for _ in range(20))
        )
    passed = sum(answer.status_code == 200 for answer in answers)
    assert rate_limit <= passed <= rate_limit + (time.monotonic() - started) * rate_limit / 60
    assert {answer.status_code for answer in answers} == {200, 429}


@pytest.mark.parametrize(
    ("allowance", "expected"),
    [
        (Allowance(60, True, 45, 0.0, 14.2), ("60", "45", "1015", None)),
        (Allowance(60, True, 59, 0.0, 1.0), ("60", "59", "1001", None)),
        (Allowance(60, False, 0, 0.01, 60.0), ("60", "0", "1060", "1")),
        (Allowance(4, False, 0, 14.2, 59.2), ("4", "0", "1060", "15")),
    ],
)
def test_moments_are_rounded_so_that_waiting_is_enough(allowance: Allowance, expected: tuple[str | None, ...]) -> None:
    headers = allowance.headers(1000.0)
    names = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After")
    assert tuple(headers.get(name) for name in names) == expected
