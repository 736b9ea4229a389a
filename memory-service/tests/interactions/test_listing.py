"""Finding interactions again: filters, order, pages."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

Post = Callable[..., Awaitable[dict[str, Any]]]

REFUSAL = "Lo siento, como modelo de lenguaje no puedo ayudarte con eso."


@pytest.fixture
async def month(client: httpx.AsyncClient, open_session: Post, tell: Post) -> list[dict[str, Any]]:
    """Six exchanges of two viewers over three evenings, the second and third at the very same moment."""
    ana, bea = await open_session("ana"), await open_session("bea")
    told = [
        await tell(ana, occurred_at="2026-01-06T20:00:00Z"),
        await tell(bea, occurred_at="2026-01-05T20:00:00Z"),
        await tell(ana, occurred_at="2026-01-05T20:00:00Z", output_text="Vale."),
        await tell(ana, occurred_at="2026-01-07T20:00:00Z", output_text=REFUSAL),
        await tell(bea, occurred_at="2026-01-07T20:00:00.000001Z"),
        await tell(bea, occurred_at="2026-01-04T20:00:00Z", output_text=""),
    ]
    await client.put(f"/interactions/{told[4]['id']}/quality", json={"quality_score": 1.0})
    return told


def _numbers(found: list[dict[str, Any]], told: list[dict[str, Any]]) -> list[int]:
    order = {exchange["id"]: number for number, exchange in enumerate(told)}
    return [order[item["id"]] for item in found]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [5, 1, 2, 0, 3, 4]),
        ({"order": "desc"}, [4, 3, 0, 2, 1, 5]),
        ({"user_id": "ana"}, [2, 0, 3]),
        ({"user_id": "nobody"}, []),
        ({"dropped": "true", "user_id": "ana"}, [3]),
        ({"dropped": "false", "user_id": "ana"}, [2, 0]),
        ({"min_quality": 1.0}, [4]),
        ({"max_quality": 0.0, "user_id": "ana"}, [3]),
        ({"since": "2026-01-05T20:00:00Z", "until": "2026-01-07T20:00:00Z"}, [1, 2, 0]),
        ({"since": "2026-01-07T21:00:00.000001+01:00"}, [4]),
        ({"persona": "casiopy"}, [5, 1, 2, 0, 3, 4]),
        ({"persona": "someone-else"}, []),
    ],
)
async def test_filters(
    client: httpx.AsyncClient, month: list[dict[str, Any]], query: dict[str, Any], expected: list[int]
) -> None:
    page = (await client.get("/interactions", params=query)).json()
    assert _numbers(page["items"], month) == expected
    assert (page["total"], page["next_cursor"]) == (len(expected), None)


async def test_by_how_their_embedding_stands(
    client: httpx.AsyncClient, month: list[dict[str, Any]], superuser: AsyncEngine
) -> None:
    statuses = ["done", "pending", "failed", "done", "pending", "done"]
    async with superuser.begin() as connection:
        for told, status in zip(month, statuses, strict=True):
            update = text("UPDATE interactions SET embedding_status = :status WHERE id = :id")
            await connection.execute(update, {"status": status, "id": told["id"]})
    for status, expected in (("pending", [1, 4]), ("done", [5, 0, 3]), ("failed", [2])):
        page = (await client.get("/interactions", params={"embedding_status": status})).json()
        assert _numbers(page["items"], month) == expected


async def test_by_session(client: httpx.AsyncClient, month: list[dict[str, Any]]) -> None:
    page = (await client.get("/interactions", params={"session_id": month[1]["session_id"]})).json()
    assert _numbers(page["items"], month) == [5, 1, 4]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 4, 6])
async def test_pages_join_to_the_whole_list(
    client: httpx.AsyncClient, month: list[dict[str, Any]], order: str, limit: int
) -> None:
    query: dict[str, str | int] = {"order": order, "limit": limit}
    seen: list[dict[str, Any]] = []
    while True:
        page = (await client.get("/interactions", params=query)).json()
        assert page["total"] == 6
        assert len(page["items"]) <= limit
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    expected = [5, 1, 2, 0, 3, 4]
    assert _numbers(seen, month) == (expected if order == "asc" else expected[::-1])


async def test_a_page_does_not_repeat_when_something_is_added_before_it(
    client: httpx.AsyncClient, month: list[dict[str, Any]], tell: Post
) -> None:
    first = (await client.get("/interactions", params={"limit": 3})).json()
    await tell({"id": month[0]["session_id"]}, occurred_at="2026-01-01T00:00:00Z")
    second = (await client.get("/interactions", params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert _numbers(second["items"], month) == [0, 3, 4]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 501},
        {"limit": "many"},
        {"cursor": "%%%"},
        {"cursor": "bm90IGpzb24"},
        {"cursor": "WzFd"},  # [1]
        {"cursor": "WzEsMl0"},  # [1,2]
        {"cursor": "WyJhIiwiYiJd"},  # ["a","b"]
        {"cursor": "ñ"},
        {"min_quality": -0.1},
        {"max_quality": 1.1},
        {"min_quality": "nan"},
        {"dropped": "perhaps"},
        {"embedding_status": "soon"},
        {"order": "sideways"},
        {"session_id": "seven"},
        {"since": "yesterday"},
        {"until": "9999-12-31T23:59:59-14:00"},
        {"user_id": "a\x00b"},
    ],
)
async def test_bad_questions(client: httpx.AsyncClient, query: dict[str, Any]) -> None:
    answer = await client.get("/interactions", params=query)
    assert answer.status_code == 400, answer.text
    assert set(answer.json()) == {"detail", "error"}


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("PUT", "/quality"), ("GET", "/feedback")])
async def test_unknown_interactions(client: httpx.AsyncClient, method: str, path: str) -> None:
    body = {"quality_score": 0.5} if method == "PUT" else None
    missing = await client.request(method, f"/interactions/01a1fc30-7bd7-76f0-a8e0-2b71b539e9e4{path}", json=body)
    assert (missing.status_code, missing.json()["error"]) == (404, "not_found")
    malformed = await client.request(method, f"/interactions/seven{path}", json=body)
    assert (malformed.status_code, malformed.json()["error"]) == (400, "invalid_request")
