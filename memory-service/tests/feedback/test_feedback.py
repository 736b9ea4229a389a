"""People's ratings have the last word."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

Post = Callable[..., Awaitable[dict[str, Any]]]


@pytest.mark.parametrize(
    ("ratings", "score"),
    [
        ([1], 0.0),
        ([2], 0.25),
        ([3], 0.5),
        ([4], 0.75),
        ([5], 1.0),
        ([5, 1], 0.5),
        ([5, 5, 4], 0.9167),
        ([1, 1, 1, 2], 0.0625),
    ],
)
async def test_the_mean_rating_becomes_the_score(
    client: httpx.AsyncClient, open_session: Post, tell: Post, ratings: list[int], score: float
) -> None:
    stored = await tell(await open_session())
    path = f"/interactions/{stored['id']}/feedback"
    answers = [(await client.post(path, json={"rating": rating})).json() for rating in ratings]
    assert answers[-1]["quality_score"] == score
    changed = (await client.get(f"/interactions/{stored['id']}")).json()
    assert changed == stored | {"quality_score": score, "quality_source": "human"}


async def test_feedback_is_kept_whole_and_listed_oldest_first(
    client: httpx.AsyncClient, open_session: Post, tell: Post
) -> None:
    stored = await tell(await open_session())
    path = f"/interactions/{stored['id']}/feedback"
    given: list[dict[str, Any]] = [
        {"rating": 2, "comment": "Muy seca.", "corrected_output": "*suspiro* Vale, te lo explico.", "user_id": "ana"},
        {"rating": 5, "comment": None, "corrected_output": None, "user_id": None},
    ]
    for opinion in given:
        answer = await client.post(path, json=opinion)
        assert answer.status_code == 201
        assert answer.json()["interaction_id"] == stored["id"]
    page = (await client.get(path, params={"limit": 1})).json()
    rest = (await client.get(path, params={"limit": 1, "cursor": page["next_cursor"]})).json()
    assert page["total"] == 2
    assert [{name: item[name] for name in given[0]} for item in page["items"] + rest["items"]] == given
    assert rest["next_cursor"] is None


async def test_ratings_at_the_same_moment_all_count(client: httpx.AsyncClient, open_session: Post, tell: Post) -> None:
    stored = await tell(await open_session())
    path = f"/interactions/{stored['id']}/feedback"
    ratings = [1, 5, 5, 5, 1, 4, 3, 2]
    await asyncio.gather(*(client.post(path, json={"rating": rating}) for rating in ratings))
    mean = sum(ratings) / len(ratings)
    assert (await client.get(f"/interactions/{stored['id']}")).json()["quality_score"] == (mean - 1) / 4


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"rating": 0},
        {"rating": 6},
        {"rating": 2.5},
        {"rating": "good"},
        {"rating": 3, "comment": "a\x00b"},
        {"rating": 3, "comment": "x" * 4001},
        {"rating": 3, "corrected_output": ""},
        {"rating": 3, "user_id": ""},
    ],
)
async def test_bad_feedback(client: httpx.AsyncClient, open_session: Post, tell: Post, body: dict[str, Any]) -> None:
    stored = await tell(await open_session())
    answer = await client.post(f"/interactions/{stored['id']}/feedback", json=body)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert (await client.get(f"/interactions/{stored['id']}")).json() == stored


async def test_feedback_on_nothing(client: httpx.AsyncClient) -> None:
    path = "/interactions/01a1fc30-7bd7-76f0-a8e0-2b71b539e9e4/feedback"
    for answer in (await client.post(path, json={"rating": 3}), await client.get(path)):
        assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
