"""An exchange is scored and stored at once; its vector is asked for in the same transaction."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from memory_service.db import Database
from memory_service.interactions.content import content_hash
from memory_service.models import MAX_TEXT
from memory_service.scoring import SCORER_VERSION, Exchange, PersonaStyle, ScoringContext, score
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

Post = Callable[..., Awaitable[dict[str, Any]]]


async def _jobs(superuser: AsyncEngine, owner: str) -> list[str]:
    """Ids in the owner's waiting embedding jobs, job by job."""
    async with superuser.connect() as connection:
        rows = await connection.scalars(text("SELECT payload FROM pgqueuer ORDER BY id"))
        payloads = [json.loads(payload) for payload in rows]
    return [one for payload in payloads if payload["owner"] == owner for one in payload["interactions"]]


async def test_an_exchange_comes_back_whole(client: httpx.AsyncClient, open_session: Post, tell: Post) -> None:
    session = await open_session("lunaroja")
    given = {
        "input_text": "¿Tú duermes, Casiopy? 😴",
        "output_text": "*bosteza* Obvio que no, mortal.\n¿Y tú cuándo piensas dormir?",
        "input_emotion": "curious",
        "output_emotion": "sarcastic",
        "model_version": "casiopy:week-04",
        "occurred_at": "2026-01-05T20:30:00.123456Z",
        "metadata": {"platform": "twitch", "tags": ["a", 1, None, {"ñ": True}]},
    }
    stored = await tell(session, **given)
    assert {name: stored[name] for name in given} == given
    assert stored["interaction_id"] == stored["id"]
    assert UUID(stored["id"]).version == 7
    assert (stored["user_id"], stored["persona"], stored["session_id"]) == ("lunaroja", "casiopy", session["id"])
    assert (stored["quality_source"], stored["embedding_status"]) == ("scorer", "pending")
    assert stored["created_at"].endswith("Z")
    assert (await client.get(f"/interactions/{stored['id']}")).json() == stored
    assert (await client.get(f"/sessions/{session['id']}")).json()["interactions"] == 1


async def test_the_score_is_the_scorers_with_its_reasons(open_session: Post, tell: Post) -> None:
    stored = await tell(await open_session(), input_text="Hola", output_text="*suspiro* Hola, mortal. ¿Qué quieres?")
    expected = score(Exchange("Hola", "*suspiro* Hola, mortal. ¿Qué quieres?"), ScoringContext(persona_name="Casiopy"))
    assert stored["quality_score"] == expected.score
    assert stored["quality"] == expected.as_dict()
    assert stored["quality"]["scorer_version"] == SCORER_VERSION


async def test_the_personas_own_style_decides(
    open_session: Post, tell: Post, superuser: AsyncEngine, owner: str
) -> None:
    session = await open_session()
    style = {"markers": [r"\bcriatura\b"], "length_words": [3, 30]}
    async with superuser.begin() as connection:
        change = text("UPDATE personas SET settings = cast(:settings AS jsonb) WHERE owner_id = :owner")
        await connection.execute(change, {"settings": json.dumps({"style": style}), "owner": owner})
    reply = "Mira, criatura, eso ya lo sabía hasta mi gato."
    stored = await tell(session, input_text="Hola", output_text=reply)
    context = ScoringContext(style=PersonaStyle.from_settings({"style": style}), persona_name="Casiopy")
    assert stored["quality"] == score(Exchange("Hola", reply), context).as_dict()


async def test_a_style_the_scorer_cannot_read_says_so(
    client: httpx.AsyncClient, open_session: Post, superuser: AsyncEngine, owner: str
) -> None:
    session = await open_session()
    async with superuser.begin() as connection:
        change = text('UPDATE personas SET settings = \'{"style": {"markers": ["("]}}\' WHERE owner_id = :owner')
        await connection.execute(change, {"owner": owner})
    answer = await client.post("/interactions", json={"session_id": session["id"], "input_text": "Hola"})
    assert answer.status_code == 409
    assert "style.markers" in answer.json()["detail"]


def _signal(stored: dict[str, Any], name: str) -> float | None:
    return next((signal["value"] for signal in stored["quality"]["signals"] if signal["name"] == name), None)


async def test_a_reply_is_compared_with_those_before_it_in_time(open_session: Post, tell: Post) -> None:
    session = await open_session()
    reply = "*suspiro* Ya lo dije ayer: el café frío no se discute, se llora en silencio."
    first = await tell(session, output_text=reply, occurred_at="2026-01-05T20:00:00Z")
    repeated = await tell(session, output_text=reply, occurred_at="2026-01-05T20:01:00Z")
    earlier = await tell(session, output_text=reply, occurred_at="2026-01-05T19:00:00Z")
    assert _signal(first, "novelty") is None
    assert (_signal(repeated, "novelty") or 0) < 0.5
    assert _signal(earlier, "novelty") is None


async def test_reciting_the_system_prompt_is_noticed(client: httpx.AsyncClient, open_session: Post, tell: Post) -> None:
    line = "Tu barco se llama La Cassiopeia y surca el cielo nocturno con un gato robot llamado Pixel al timón."
    await client.post("/core-memory", json={"category": "lore", "key": "ship", "value": line})
    recited = await tell(await open_session(), output_text=line)
    assert "memory_block_echo" in [drop["rule"] for drop in recited["quality"]["drops"]]
    assert recited["quality_score"] == 0


async def test_an_embedding_is_asked_for_with_the_exchange(
    open_session: Post, tell: Post, superuser: AsyncEngine, owner: str
) -> None:
    session = await open_session()
    stored = [await tell(session) for _ in range(3)]
    assert await _jobs(superuser, owner) == [exchange["id"] for exchange in stored]


async def test_a_refused_exchange_leaves_nothing_behind(
    client: httpx.AsyncClient, open_session: Post, superuser: AsyncEngine, owner: str
) -> None:
    session = await open_session()
    good = {"session_id": session["id"], "input_text": "Hola"}
    bulk = {"interactions": [good, {"session_id": str(uuid4()), "input_text": "Hola"}]}
    assert (await client.post("/interactions/bulk", json=bulk)).status_code == 404
    assert (await client.get("/interactions")).json()["total"] == 0
    assert await _jobs(superuser, owner) == []


async def test_the_hash_of_the_content_is_stored(
    open_session: Post, tell: Post, database: Database, owner: str
) -> None:
    stored = await tell(await open_session(), input_text="  HOLA  Casiopy ", output_text="Ay,  mortal.")
    async with database.transaction(owner) as connection:
        row = (await connection.execute(text("SELECT content_hash, dropped FROM interactions"))).one()
    assert bytes(row.content_hash) == content_hash("hola casiopy", "ay, mortal.")
    assert row.dropped is bool(stored["quality"]["drops"])


async def test_an_ended_session_takes_no_more(client: httpx.AsyncClient, open_session: Post) -> None:
    session = await open_session()
    await client.post(f"/sessions/{session['id']}/end")
    answer = await client.post("/interactions", json={"session_id": session["id"], "input_text": "¿Sigues ahí?"})
    assert (answer.status_code, answer.json()["error"]) == (409, "conflict")
    assert "POST /sessions" in answer.json()["detail"]


async def test_the_longest_texts_fit(open_session: Post, tell: Post) -> None:
    longest = "ñ🙂" * (MAX_TEXT // 2)
    stored = await tell(await open_session(), input_text=longest, output_text=longest)
    assert (stored["input_text"], stored["output_text"]) == (longest, longest)


LATER = (datetime.now(UTC) + timedelta(days=1, hours=1)).isoformat()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"input_text": ""}, "input_text"),
        ({"input_text": None}, "input_text"),
        ({"input_text": "x" * (MAX_TEXT + 1)}, "input_text"),
        ({"output_text": "x" * (MAX_TEXT + 1)}, "output_text"),
        ({"input_text": "a\x00b"}, "NUL"),
        ({"output_text": "a\x00b"}, "NUL"),
        ({"input_emotion": "a\x00b"}, "NUL"),
        ({"output_emotion": "x" * 256}, "output_emotion"),
        ({"model_version": 4}, "model_version"),
        ({"session_id": "not-a-uuid"}, "session_id"),
        ({"occurred_at": LATER}, "future"),
        ({"occurred_at": "yesterday"}, "occurred_at"),
        ({"metadata": {"a\x00b": 1}}, "NUL"),
        ({"metadata": {"note": "x" * 20_000}}, "metadata"),
    ],
)
async def test_bad_exchanges_are_refused_by_name(
    client: httpx.AsyncClient, open_session: Post, change: dict[str, Any], named: str
) -> None:
    session = await open_session()
    body = {"session_id": session["id"], "input_text": "Hola", "output_text": "Hola"} | change
    answer = await client.post("/interactions", json=body)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert named in answer.json()["detail"]
    assert (await client.get("/interactions")).json()["total"] == 0


async def test_numbers_that_json_does_not_know_are_refused(client: httpx.AsyncClient, open_session: Post) -> None:
    session = await open_session()
    body = json.dumps({"session_id": session["id"], "input_text": "Hola", "metadata": {"x": float("nan")}})
    answer = await client.post("/interactions", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400


async def test_an_unknown_session_is_not_found(client: httpx.AsyncClient) -> None:
    answer = await client.post("/interactions", json={"session_id": str(uuid4()), "input_text": "Hola"})
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")


async def test_deleting_an_exchange_takes_what_hangs_on_it(
    client: httpx.AsyncClient, open_session: Post, tell: Post, superuser: AsyncEngine
) -> None:
    stored = await tell(await open_session())
    await client.post(f"/interactions/{stored['id']}/feedback", json={"rating": 4})
    assert (await client.delete(f"/interactions/{stored['id']}")).status_code == 204
    assert (await client.get(f"/interactions/{stored['id']}")).status_code == 404
    assert (await client.delete(f"/interactions/{stored['id']}")).status_code == 404
    async with superuser.connect() as connection:
        left = text("SELECT count(*) FROM feedback WHERE interaction_id = :id")
        assert await connection.scalar(left, {"id": UUID(stored["id"])}) == 0


async def test_metadata_may_speak_of_nul_without_holding_one(open_session: Post, tell: Post) -> None:
    spoken = {"note": r"the escape \u0000", "path": "C:\\\\u0000"}
    assert (await tell(await open_session(), metadata=spoken))["metadata"] == spoken
