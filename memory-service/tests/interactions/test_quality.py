"""A human's score goes over the scorer's, whose reasons stay."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

Post = Callable[..., Awaitable[dict[str, Any]]]

REFUSAL = "Lo siento, como modelo de lenguaje no puedo ayudarte con eso."


@pytest.mark.parametrize("score", [0, 0.0, 0.37, 1, 1.0])
async def test_the_human_score_is_kept_beside_the_breakdown(
    client: httpx.AsyncClient, open_session: Post, tell: Post, score: float
) -> None:
    stored = await tell(await open_session())
    changed = (await client.put(f"/interactions/{stored['id']}/quality", json={"quality_score": score})).json()
    assert changed == stored | {"quality_score": float(score), "quality_source": "human"}
    assert changed["quality"]["score"] == stored["quality_score"]
    assert (await client.get(f"/interactions/{stored['id']}")).json() == changed


@pytest.mark.parametrize(("score", "still_dropped"), [(0.0, True), (0.49, True), (0.5, False), (1.0, False)])
async def test_only_praise_lifts_a_drop(
    client: httpx.AsyncClient, open_session: Post, tell: Post, score: float, still_dropped: bool
) -> None:
    stored = await tell(await open_session(), output_text=REFUSAL)
    assert stored["quality"]["drops"]
    for value in (1.0, score):
        changed = await client.put(f"/interactions/{stored['id']}/quality", json={"quality_score": value})
        assert changed.json()["quality"] == stored["quality"]
    dropped = (await client.get("/interactions", params={"dropped": "true"})).json()["total"]
    assert dropped == int(still_dropped)


@pytest.mark.parametrize("body", [{}, {"quality_score": -0.01}, {"quality_score": 1.01}, {"quality_score": "high"}, []])
async def test_bad_scores(client: httpx.AsyncClient, open_session: Post, tell: Post, body: object) -> None:
    stored = await tell(await open_session())
    answer = await client.put(f"/interactions/{stored['id']}/quality", json=body)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert (await client.get(f"/interactions/{stored['id']}")).json() == stored


async def test_not_a_number_is_no_score(client: httpx.AsyncClient, open_session: Post, tell: Post) -> None:
    stored = await tell(await open_session())
    answer = await client.put(
        f"/interactions/{stored['id']}/quality",
        content='{"quality_score": NaN}',
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 400
