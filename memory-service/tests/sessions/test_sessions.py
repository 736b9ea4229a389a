"""Conversations open, change their consent and end once."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

Post = Callable[..., Awaitable[dict[str, Any]]]


async def test_opening_a_session_brings_its_viewer_into_being(client: httpx.AsyncClient, open_session: Post) -> None:
    session = await open_session("lunaroja", metadata={"stream": "martes"})
    assert session["session_id"] == session["id"]
    assert UUID(session["id"]).version == 7
    assert {name: session[name] for name in ("user_id", "persona", "opt_out_training", "ended_at", "interactions")} == {
        "user_id": "lunaroja",
        "persona": "casiopy",
        "opt_out_training": False,
        "ended_at": None,
        "interactions": 0,
    }
    assert session["metadata"] == {"stream": "martes"}
    assert session["started_at"].endswith("Z")
    shown = (await client.get(f"/sessions/{session['id']}")).json()
    assert shown == {**session, "summary": "", "messages": []}
    users = (await client.get("/users")).json()["items"]
    assert [(user["id"], user["sessions"]) for user in users] == [("lunaroja", 1)]


async def test_imported_sessions_keep_their_start(open_session: Post) -> None:
    session = await open_session(started_at="2025-12-30T20:00:00+01:00")
    assert session["started_at"] == "2025-12-30T19:00:00Z"
    naive = await open_session(started_at="2025-12-30T20:00:00")
    assert naive["started_at"] == "2025-12-30T20:00:00Z"


TOMORROW_AND_MORE = (datetime.now(UTC) + timedelta(days=2)).isoformat()


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "user_id"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": "x" * 256}, "user_id"),
        ({"user_id": "a\x00b"}, "NUL"),
        ({"user_id": "ana", "persona": "No Such Slug"}, "persona"),
        ({"user_id": "ana", "started_at": "ayer"}, "started_at"),
        ({"user_id": "ana", "started_at": TOMORROW_AND_MORE}, "future"),
        ({"user_id": "ana", "started_at": "0001-01-01T00:00:00+14:00"}, "started_at"),
        ({"user_id": "ana", "started_at": "0001-01-01T00:00:00Z"}, "before 1970"),
        ({"user_id": "ana", "started_at": "1969-12-31T23:59:59Z"}, "before 1970"),
        ({"user_id": "ana", "metadata": json.loads('{"a":' * 33 + "1" + "}" * 33)}, "deeper than 32"),
        ({"user_id": "ana", "metadata": json.loads('{"a":' + "[" * 900 + "]" * 900 + "}")}, "deeper than 32"),
        ({"user_id": "ana", "opt_out_training": "maybe"}, "opt_out_training"),
        ({"user_id": "ana", "metadata": {"note": "a\x00b"}}, "NUL"),
        ({"user_id": "ana", "metadata": {"note": "x" * 20_000}}, "metadata"),
        ({"user_id": "ana", "metadata": []}, "metadata"),
    ],
)
async def test_bad_sessions_are_refused_by_name(client: httpx.AsyncClient, body: dict[str, Any], named: str) -> None:
    answer = await client.post("/sessions", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"
    assert named in answer.json()["detail"]
    assert (await client.get("/sessions")).json()["total"] == 0


@pytest.mark.parametrize(
    "text", [r'{"user_id": "\ud800"}', r'{"user_id": "a", "metadata": {"x": "\ud800"}}', '{"user_id": ']
)
async def test_text_that_is_no_text_is_refused(client: httpx.AsyncClient, text: str) -> None:
    answer = await client.post("/sessions", content=text, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert set(answer.json()) == {"detail", "error"}


async def test_an_unknown_persona_is_not_found(client: httpx.AsyncClient) -> None:
    answer = await client.post("/sessions", json={"user_id": "ana", "persona": "nobody"})
    assert answer.status_code == 404
    assert "nobody" in answer.json()["detail"]


async def test_ending_twice_keeps_the_first_end(client: httpx.AsyncClient, open_session: Post) -> None:
    session = await open_session()
    first = (await client.post(f"/sessions/{session['id']}/end")).json()
    again = await client.post(f"/sessions/{session['id']}/end", json={"ended_at": datetime.now(UTC).isoformat()})
    assert first["ended_at"] is not None
    assert again.status_code == 200
    assert again.json() == first


async def test_an_imported_session_ends_when_it_did_but_not_before_it_began(
    client: httpx.AsyncClient, open_session: Post
) -> None:
    session = await open_session(started_at="2026-01-05T20:00:00Z")
    early = await client.post(f"/sessions/{session['id']}/end", json={"ended_at": "2026-01-05T19:59:59Z"})
    assert (early.status_code, early.json()["error"]) == (400, "bad_request")
    ended = await client.post(f"/sessions/{session['id']}/end", json={"ended_at": "2026-01-05T21:30:00Z"})
    assert ended.json()["ended_at"] == "2026-01-05T21:30:00Z"


async def test_a_session_that_starts_within_the_next_day_can_end_at_once(
    client: httpx.AsyncClient, open_session: Post
) -> None:
    session = await open_session(started_at=(datetime.now(UTC) + timedelta(hours=5)).isoformat())
    ended = (await client.post(f"/sessions/{session['id']}/end")).json()
    assert ended["ended_at"] == session["started_at"]


async def test_consent_changes_at_any_time(client: httpx.AsyncClient, open_session: Post, tell: Post) -> None:
    session = await open_session()
    exchange = await tell(session)
    assert exchange["opt_out_training"] is False
    await client.post(f"/sessions/{session['id']}/end")
    changed = (await client.patch(f"/sessions/{session['id']}", json={"opt_out_training": True})).json()
    assert changed["opt_out_training"] is True
    assert changed["interactions"] == 1
    assert (await client.get(f"/interactions/{exchange['id']}")).json()["opt_out_training"] is True


async def test_the_list_pages_newest_first_without_gap_or_repeat(client: httpx.AsyncClient, open_session: Post) -> None:
    starts = ["2026-01-05T20:00:00Z"] * 3 + ["2026-01-06T20:00:00Z", "2026-01-04T20:00:00Z"]
    made = [await open_session("ana", started_at=start) for start in starts]
    await open_session("someone else")
    seen: list[dict[str, Any]] = []
    query: dict[str, str | int] = {"user_id": "ana", "limit": 2}
    while True:
        page = (await client.get("/sessions", params=query)).json()
        assert page["total"] == 5
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    expected = sorted(made, key=lambda session: (session["started_at"], session["id"]), reverse=True)
    assert [session["id"] for session in seen] == [session["id"] for session in expected]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("GET", "", None), ("POST", "/end", None), ("PATCH", "", {"opt_out_training": True})],
)
async def test_unknown_sessions(client: httpx.AsyncClient, method: str, path: str, body: object) -> None:
    missing = await client.request(method, f"/sessions/{uuid4()}{path}", json=body)
    assert (missing.status_code, missing.json()["error"]) == (404, "not_found")
    malformed = await client.request(method, f"/sessions/seven!{path}", json=body)
    assert (malformed.status_code, malformed.json()["error"]) == (400, "invalid_request")


async def test_the_very_first_requests_may_come_together(client: httpx.AsyncClient) -> None:
    """Owner, persona and viewer come into being once, whoever is first."""
    answers = await asyncio.gather(*(client.post("/sessions", json={"user_id": "ana"}) for _ in range(8)))
    assert [answer.status_code for answer in answers] == [201] * 8
    assert (await client.get("/users")).json()["total"] == 1
    assert (await client.get("/personas")).json()["total"] == 1
