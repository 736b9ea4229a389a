"""The counts agree with the lists they count."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx

Post = Callable[..., Awaitable[dict[str, Any]]]

REFUSAL = "Lo siento, como modelo de lenguaje no puedo ayudarte con eso."


async def test_a_persona_without_anything(client: httpx.AsyncClient) -> None:
    stats = (await client.get("/stats")).json()
    histogram = stats["interactions"].pop("quality_histogram")
    assert [(part["from"], part["to"], part["count"]) for part in histogram] == [
        (0.0, 0.1, 0), (0.1, 0.2, 0), (0.2, 0.3, 0), (0.3, 0.4, 0), (0.4, 0.5, 0),
        (0.5, 0.6, 0), (0.6, 0.7, 0), (0.7, 0.8, 0), (0.8, 0.9, 0), (0.9, 1.0, 0),
    ]  # fmt: skip
    assert stats == {
        "persona": "casiopy",
        "core_memory": {"total": 0, "immutable": 0},
        "sessions": {"total": 0, "open": 0, "opted_out": 0},
        "interactions": {"total": 0, "pending_embeddings": 0, "dropped": 0, "training_ready": 0, "by_day": []},
        "users": 0,
        "feedback": {"total": 0, "mean_rating": None},
        "topics": 0,
        "exports": 0,
        "adapters": 0,
        "deployments": 0,
    }


async def test_everything_is_counted_once(client: httpx.AsyncClient, open_session: Post, tell: Post) -> None:
    for key, is_mutable in (("a", True), ("b", False), ("c", False)):
        entry = {"category": "like", "key": key, "value": "Te gusta la lluvia.", "is_mutable": is_mutable}
        await client.post("/core-memory", json=entry)
    ana, private, ended = (
        await open_session("ana"),
        await open_session("ana", opt_out_training=True),
        await open_session("bea"),
    )
    told = [
        await tell(ana, occurred_at="2026-01-05T23:59:59.999999Z"),
        await tell(ana, occurred_at="2026-01-06T01:30:00+01:00"),
        await tell(private, occurred_at="2026-01-06T00:00:01Z"),
        await tell(ended, occurred_at="2025-12-31T12:00:00Z", output_text=REFUSAL),
    ]
    await client.post(f"/sessions/{ended['id']}/end")
    for exchange, score in zip(told[:3], (0.3, 0.9, 1.0), strict=True):
        await client.put(f"/interactions/{exchange['id']}/quality", json={"quality_score": score})
    for rating in (5, 4, 4):
        await client.post(f"/interactions/{told[1]['id']}/feedback", json={"rating": rating})

    stats = (await client.get("/stats")).json()
    assert stats["core_memory"] == {"total": 3, "immutable": 2}
    assert stats["sessions"] == {"total": 3, "open": 2, "opted_out": 1}
    assert stats["users"] == 2
    assert stats["feedback"] == {"total": 3, "mean_rating": 13 / 3}
    interactions = stats["interactions"]
    assert {name: interactions[name] for name in ("total", "pending_embeddings", "dropped")} == {
        "total": 4,
        "pending_embeddings": 4,
        "dropped": 1,
    }
    ready = (await client.get("/interactions/training-ready")).json()["total"]
    assert interactions["training_ready"] == ready == 1
    assert interactions["by_day"] == [
        {"day": "2025-12-31", "count": 1},
        {"day": "2026-01-05", "count": 1},
        {"day": "2026-01-06", "count": 2},
    ]
    counts = [part["count"] for part in interactions["quality_histogram"]]
    assert counts == [1, 0, 0, 1, 0, 0, 0, 0, 1, 1]


async def test_an_unknown_persona(client: httpx.AsyncClient) -> None:
    answer = await client.get("/stats", params={"persona": "nobody"})
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
