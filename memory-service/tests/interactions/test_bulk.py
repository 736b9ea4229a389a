"""Many exchanges in one request: all or none."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

Post = Callable[..., Awaitable[dict[str, Any]]]


async def test_a_bulk_answers_in_the_order_given(client: httpx.AsyncClient, open_session: Post) -> None:
    sessions = [await open_session("ana"), await open_session("bea", started_at="2026-01-05T20:00:00Z")]
    exchanges = [
        {
            "session_id": sessions[number % 2]["id"],
            "input_text": f"pregunta {number}",
            "output_text": f"*suspiro* Respuesta número {number}, mortal, y no habrá otra igual." if number % 3 else "",
            "occurred_at": f"2026-01-05T20:{59 - number:02}:00Z",
        }
        for number in range(40)
    ]
    answer = (await client.post("/interactions/bulk", json={"interactions": exchanges})).json()
    assert answer["created"] == 40
    for exchange, item in zip(exchanges, answer["items"], strict=True):
        stored = (await client.get(f"/interactions/{item['id']}")).json()
        assert {name: stored[name] for name in exchange} == exchange
        assert stored["quality_score"] == item["quality_score"]


async def test_a_bulk_scores_as_single_requests_do(client: httpx.AsyncClient, open_session: Post, tell: Post) -> None:
    replies = [
        "*suspiro* El café frío no se discute, mortal, se llora en silencio.",
        "*suspiro* El café frío no se discute, mortal, se llora en silencio.",
        "Lo siento, como modelo de lenguaje no puedo ayudarte con eso.",
        "Ay, criatura, Metroid no se acaba: se vuelve a empezar.",
    ]
    made = [
        {"input_text": f"¿Y ahora {number}?", "output_text": reply, "occurred_at": f"2026-01-05T20:0{number}:00Z"}
        for number, reply in enumerate(replies)
    ]
    await client.get("/personas")
    bulk_session = await open_session("ana", persona=None)
    bulk = [exchange | {"session_id": bulk_session["id"]} for exchange in reversed(made)]
    together = (await client.post("/interactions/bulk", json={"interactions": bulk})).json()["items"]
    for item in together:
        await client.delete(f"/interactions/{item['id']}")
    alone = [await tell(bulk_session, **exchange) for exchange in made]
    assert [item["quality_score"] for item in reversed(together)] == [item["quality_score"] for item in alone]
    assert alone[0]["quality_score"] > alone[1]["quality_score"] > alone[2]["quality_score"] == 0


@pytest.mark.parametrize(
    ("broken", "status", "named"),
    [
        ({"input_text": ""}, 400, "interactions.2.input_text"),
        ({"session_id": str(uuid4())}, 404, "interactions.2"),
        ({"output_text": "a\x00b"}, 400, "interactions.2.output_text"),
    ],
)
async def test_one_bad_exchange_refuses_all_and_is_named(
    client: httpx.AsyncClient, open_session: Post, broken: dict[str, Any], status: int, named: str
) -> None:
    session = await open_session()
    exchanges: list[dict[str, Any]] = [{"session_id": session["id"], "input_text": f"hola {n}"} for n in range(4)]
    exchanges[2] |= broken
    answer = await client.post("/interactions/bulk", json={"interactions": exchanges})
    assert answer.status_code == status
    assert named in answer.json()["detail"]
    assert (await client.get("/interactions")).json()["total"] == 0


async def test_an_ended_session_in_a_bulk_is_named(client: httpx.AsyncClient, open_session: Post) -> None:
    open_one, ended = await open_session(), await open_session()
    await client.post(f"/sessions/{ended['id']}/end")
    exchanges = [{"session_id": session["id"], "input_text": "hola"} for session in (open_one, ended)]
    answer = await client.post("/interactions/bulk", json={"interactions": exchanges})
    assert answer.status_code == 409
    assert "interactions.1" in answer.json()["detail"]


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_bulk_has_1_to_1000_exchanges(client: httpx.AsyncClient, count: int) -> None:
    exchanges = [{"session_id": str(uuid4()), "input_text": "hola"}] * count
    answer = await client.post("/interactions/bulk", json={"interactions": exchanges})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_a_thousand_at_once(client: httpx.AsyncClient, open_session: Post) -> None:
    session = await open_session()
    exchanges = [
        {"session_id": session["id"], "input_text": f"hola {n}", "output_text": f"Ay, {n}."} for n in range(1000)
    ]
    answer = await client.post("/interactions/bulk", json={"interactions": exchanges})
    assert (answer.status_code, answer.json()["created"]) == (201, 1000)
    page = (await client.get("/interactions", params={"limit": 500})).json()
    assert page["total"] == 1000
    assert [item["input_text"] for item in page["items"]] == [f"hola {n}" for n in range(500)]
