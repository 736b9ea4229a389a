"""Viewers and their standing consent."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest

Post = Callable[..., Awaitable[dict[str, Any]]]


async def test_a_viewer_is_listed_with_what_is_stored_of_them(
    client: httpx.AsyncClient, open_session: Post, tell: Post
) -> None:
    for user_id, exchanges in (("bea", [1, 2]), ("ana", [0])):
        for count in exchanges:
            session = await open_session(user_id)
            for _ in range(count):
                await tell(session)
    page = (await client.get("/users", params={"limit": 1})).json()
    assert (page["total"], page["items"][0]["id"]) == (2, "ana")
    rest = (await client.get("/users", params={"limit": 1, "cursor": page["next_cursor"]})).json()
    assert rest["next_cursor"] is None
    assert {name: rest["items"][0][name] for name in ("id", "sessions", "interactions", "opt_out_training")} == {
        "id": "bea",
        "sessions": 2,
        "interactions": 3,
        "opt_out_training": False,
    }


@pytest.mark.parametrize("user_id", ["ana", "twitch/ana?x=1", "ana maría #7", "用户"])
async def test_a_viewers_opt_out_covers_past_and_future(
    client: httpx.AsyncClient, open_session: Post, tell: Post, user_id: str
) -> None:
    before = await tell(await open_session(user_id))
    path = httpx.URL(f"http://127.0.0.1:8820/users/{quote(user_id, safe='')}")
    changed = await client.patch(path, json={"opt_out_training": True})
    assert (changed.status_code, changed.json()["opt_out_training"]) == (200, True)
    after = await tell(await open_session(user_id))
    for exchange in (before, after):
        assert (await client.get(f"/interactions/{exchange['id']}")).json()["opt_out_training"] is True
    assert (await client.get("/interactions/training-ready")).json()["total"] == 0
    await client.patch(path, json={"opt_out_training": False})
    assert (await client.get("/interactions/training-ready")).json()["total"] == 2


async def test_unknown_viewers_and_bad_consent(client: httpx.AsyncClient) -> None:
    unknown = await client.patch("/users/nobody", json={"opt_out_training": True})
    assert (unknown.status_code, unknown.json()["error"]) == (404, "not_found")
    bad = await client.patch("/users/nobody", json={"opt_out_training": "perhaps"})
    assert (bad.status_code, bad.json()["error"]) == (400, "invalid_request")
