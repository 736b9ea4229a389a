"""What may be learned from: good, kept, answered, and with consent."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

Post = Callable[..., Awaitable[dict[str, Any]]]

REFUSAL = "Lo siento, como modelo de lenguaje no puedo ayudarte con eso."


@pytest.fixture
async def told(client: httpx.AsyncClient, open_session: Post, tell: Post) -> dict[str, dict[str, Any]]:
    """One exchange for each reason to learn from it or not."""
    session = await open_session("ana")
    exchanges = {
        "good": await tell(session, occurred_at="2026-01-05T20:00:00Z"),
        "dropped": await tell(session, occurred_at="2026-01-05T20:01:00Z", output_text=REFUSAL),
        "unanswered": await tell(session, occurred_at="2026-01-05T20:02:00Z", output_text=" \n"),
        "mediocre": await tell(session, occurred_at="2026-01-05T20:03:00Z"),
        "private session": await tell(
            await open_session("ana", opt_out_training=True), occurred_at="2026-01-05T20:04:00Z"
        ),
        "private viewer": await tell(await open_session("bea"), occurred_at="2026-01-05T20:05:00Z"),
        "also good": await tell(session, occurred_at="2026-01-05T20:06:00Z"),
    }
    for name, score in {"good": 0.8, "mediocre": 0.55, "also good": 0.6, "unanswered": 1.0}.items():
        await client.put(f"/interactions/{exchanges[name]['id']}/quality", json={"quality_score": score})
    await client.patch("/users/bea", json={"opt_out_training": True})
    return exchanges


def _names(items: list[dict[str, Any]], told: dict[str, dict[str, Any]]) -> list[str]:
    by_id = {exchange["id"]: name for name, exchange in told.items()}
    return [by_id[item["id"]] for item in items]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["good", "also good"]),
        ({"min_quality": 0.55}, ["good", "mediocre", "also good"]),
        ({"min_quality": 0.61}, ["good"]),
        ({"min_quality": 0}, ["good", "mediocre", "also good"]),
        ({"since": "2026-01-05T20:01:00Z"}, ["also good"]),
        ({"until": "2026-01-05T20:06:00Z"}, ["good"]),
    ],
)
async def test_only_the_good_ones_with_consent(
    client: httpx.AsyncClient, told: dict[str, dict[str, Any]], query: dict[str, Any], expected: list[str]
) -> None:
    page = (await client.get("/interactions/training-ready", params=query)).json()
    assert _names(page["items"], told) == expected
    assert page["total"] == len(expected)
    streamed = await client.get("/interactions/training-ready", params=query | {"format": "ndjson"})
    assert [json.loads(line) for line in streamed.text.splitlines()] == page["items"]


async def test_another_persona_learns_nothing_from_this_one(
    client: httpx.AsyncClient, told: dict[str, dict[str, Any]], superuser: AsyncEngine, owner: str
) -> None:
    assert (await client.get("/interactions/training-ready", params={"persona": "nova"})).status_code == 404
    async with superuser.begin() as connection:
        make = text(
            "INSERT INTO personas (id, owner_id, slug, name) VALUES (gen_random_uuid(), :owner, 'nova', 'Nova')"
        )
        await connection.execute(make, {"owner": owner})
    page = (await client.get("/interactions/training-ready", params={"persona": "nova"})).json()
    assert page == {"items": [], "total": 0, "next_cursor": None}


@pytest.mark.parametrize(
    ("headers", "query", "streamed"),
    [
        ({}, {}, False),
        ({"accept": "application/x-ndjson"}, {}, True),
        ({"accept": "application/x-ndjson, */*;q=0.1"}, {}, True),
        ({}, {"format": "ndjson"}, True),
        ({"accept": "application/x-ndjson"}, {"format": "json"}, False),
    ],
)
async def test_lines_are_asked_for_by_header_or_by_query(
    client: httpx.AsyncClient,
    told: dict[str, dict[str, Any]],
    headers: dict[str, str],
    query: dict[str, str],
    streamed: bool,
) -> None:
    answer = await client.get("/interactions/training-ready", params={"limit": 1, **query}, headers=headers)
    if streamed:
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert _names([json.loads(line) for line in answer.text.splitlines()], told) == ["good", "also good"]
    else:
        assert answer.headers["content-type"] == "application/json"
        assert _names(answer.json()["items"], told) == ["good"]


async def test_more_rows_than_one_fetch_keep_their_order(client: httpx.AsyncClient, open_session: Post) -> None:
    session = await open_session()
    reply = "*suspiro* Debugueo el universo, mortal, y hoy toca el sector número {}."
    exchanges = [
        {"session_id": session["id"], "input_text": "¿Qué haces?", "output_text": reply.format(number)}
        for number in range(700)
    ]
    for start in (0, 350):
        await client.post("/interactions/bulk", json={"interactions": exchanges[start : start + 350]})
    answer = await client.get("/interactions/training-ready", params={"format": "ndjson", "min_quality": 0})
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["output_text"] for line in lines] == [exchange["output_text"] for exchange in exchanges]


async def test_nothing_is_an_empty_stream(client: httpx.AsyncClient) -> None:
    answer = await client.get("/interactions/training-ready", params={"format": "ndjson"})
    assert (answer.status_code, answer.text) == (200, "")


@pytest.mark.parametrize("query", [{"min_quality": 2}, {"format": "xml"}, {"since": "soon"}, {"cursor": "x"}])
async def test_bad_questions(client: httpx.AsyncClient, query: dict[str, Any]) -> None:
    answer = await client.get("/interactions/training-ready", params=query)
    assert answer.status_code == 400
    assert set(answer.json()) == {"detail", "error"}
