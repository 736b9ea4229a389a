"""The running summary: written in the background, extended, never over newer or erased words, never lost."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from memory_service.app import create_app
from memory_service.chat.summarising import summarise, summarise_job
from memory_service.db import Database
from memory_service.llm.answers import Limits
from memory_service.llm.model import ModelUnavailable
from memory_service.llm.ollama_model import OllamaModel
from memory_service.llm.stand_in import StandIn
from memory_service.sessions.summaries import RECENT_EXCHANGES, SUMMARISED_AT_ONCE
from memory_service.settings import Settings
from pgqueuer.errors import RetryRequested
from sqlalchemy import text

ENOUGH = RECENT_EXCHANGES + SUMMARISED_AT_ONCE


@pytest.fixture
async def writer(model: StandIn) -> AsyncIterator[OllamaModel]:
    made = OllamaModel(model.url, "casiopy:live", Limits(20.0, 4096))
    yield made
    await made.close()


@pytest.fixture
async def session(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.post("/sessions/new", json={"session_id": "s1", "user_id": "antonio"})
    made: dict[str, Any] = answer.json()
    return made


async def tell(client: httpx.AsyncClient, session: dict[str, Any], start: int, count: int) -> list[str]:
    begun = datetime.now(UTC) - timedelta(hours=1)
    exchanges = [
        {
            "session_id": session["id"],
            "input_text": f"dato {number}",
            "output_text": f"*suspiro* Anoto el dato {number}, mortal.",
            "occurred_at": (begun + timedelta(seconds=number)).isoformat(),
        }
        for number in range(start, start + count)
    ]
    answer = await client.post("/interactions/bulk", json={"interactions": exchanges})
    assert answer.status_code == 201, answer.text
    return [item["id"] for item in answer.json()["items"]]


async def summary_of(client: httpx.AsyncClient) -> dict[str, Any]:
    shown: dict[str, Any] = (await client.get("/sessions/s1/summary")).json()
    return shown


async def test_it_speaks_of_what_has_left_the_window_and_is_extended(
    client: httpx.AsyncClient,
    database: Database,
    owner: str,
    session: dict[str, Any],
    model: StandIn,
    writer: OllamaModel,
) -> None:
    await tell(client, session, 0, ENOUGH - 1)
    assert await summarise(database, writer, owner, UUID(session["id"])) == 0
    await tell(client, session, ENOUGH - 1, 1)
    model.say("Antonio dio cuatro datos.")
    assert await summarise(database, writer, owner, UUID(session["id"])) == 1
    asked = model.requests[-1]
    assert "resumen" in asked.system.lower()
    assert "dato 3" in asked.user
    assert "dato 4" not in asked.user
    assert (await summary_of(client))["summary"] == "Antonio dio cuatro datos."
    await tell(client, session, ENOUGH, SUMMARISED_AT_ONCE)
    model.say("Antonio dio ocho datos.")
    assert await summarise(database, writer, owner, UUID(session["id"])) == 1
    assert "Antonio dio cuatro datos." in model.requests[-1].user
    assert "dato 3," not in model.requests[-1].user
    assert "dato 7" in model.requests[-1].user
    shown = await summary_of(client)
    assert (shown["summary"], shown["written_by"]) == ("Antonio dio ocho datos.", "model")


async def test_an_operators_summary_is_extended_from_where_it_stands(
    client: httpx.AsyncClient,
    database: Database,
    owner: str,
    session: dict[str, Any],
    model: StandIn,
    writer: OllamaModel,
) -> None:
    await tell(client, session, 0, ENOUGH)
    await client.put("/sessions/s1/summary", json={"summary": "Escrito a mano."})
    assert await summarise(database, writer, owner, UUID(session["id"])) == 0
    await tell(client, session, ENOUGH, ENOUGH)
    model.say("Escrito a mano, y más.")
    assert await summarise(database, writer, owner, UUID(session["id"])) == 1
    assert "Escrito a mano." in model.requests[-1].user
    assert f"dato {ENOUGH - 1}," not in model.requests[-1].user


@pytest.mark.parametrize(
    ("method", "path", "body", "left"),
    [
        ("POST", "/sessions/s1/reset", None, ""),
        ("DELETE", "/history/s1", None, ""),
        ("POST", "/sessions/s1/summary/reset", None, ""),
        ("PUT", "/sessions/s1/summary", {"summary": "Del operador."}, "Del operador."),
        ("DELETE", "/sessions/s1", None, None),
    ],
)
async def test_what_happens_while_the_model_writes_wins(
    client: httpx.AsyncClient,
    database: Database,
    owner: str,
    session: dict[str, Any],
    model: StandIn,
    writer: OllamaModel,
    method: str,
    path: str,
    body: Any,
    left: str | None,
) -> None:
    await tell(client, session, 0, ENOUGH)
    asked, go_on, loop = asyncio.Event(), asyncio.Event(), asyncio.get_running_loop()

    def slowly(_: object) -> str:
        loop.call_soon_threadsafe(asked.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(20)
        return "Secreto borrado."

    model.say(slowly)
    writing = asyncio.create_task(summarise(database, writer, owner, UUID(session["id"])))
    await asked.wait()
    assert (await client.request(method, path, json=body)).status_code == 200
    go_on.set()
    assert await writing == 0
    shown = await client.get("/sessions/s1/summary")
    assert shown.status_code == 404 if left is None else shown.json()["summary"] == left


async def test_an_erased_exchange_takes_the_summary_that_tells_of_it(
    client: httpx.AsyncClient,
    database: Database,
    owner: str,
    session: dict[str, Any],
    model: StandIn,
    writer: OllamaModel,
) -> None:
    ids = await tell(client, session, 0, ENOUGH)
    model.say("Antonio dijo el dato 1.")
    await summarise(database, writer, owner, UUID(session["id"]))
    await client.delete(f"/interactions/{ids[-1]}")  # not covered
    assert (await summary_of(client))["summary"] == "Antonio dijo el dato 1."
    await client.delete(f"/interactions/{ids[1]}")
    assert (await summary_of(client))["summary"] == ""
    await tell(client, session, ENOUGH, 2)
    model.say("Sin aquel dato.")
    assert await summarise(database, writer, owner, UUID(session["id"])) == 1
    assert "dato 1," not in model.requests[-1].user


async def test_an_exchange_erased_while_the_model_writes_does_not_come_back(
    client: httpx.AsyncClient,
    database: Database,
    owner: str,
    session: dict[str, Any],
    model: StandIn,
    writer: OllamaModel,
) -> None:
    ids = await tell(client, session, 0, ENOUGH + 1)
    asked, go_on, loop = asyncio.Event(), asyncio.Event(), asyncio.get_running_loop()

    def slowly(_: object) -> str:
        loop.call_soon_threadsafe(asked.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(20)
        return "Con el dato 1."

    model.say(slowly, "Sin aquel dato.")
    writing = asyncio.create_task(summarise(database, writer, owner, UUID(session["id"])))
    await asked.wait()
    await client.delete(f"/interactions/{ids[1]}")
    go_on.set()
    assert await writing == 1
    assert (await summary_of(client))["summary"] == "Sin aquel dato."
    assert "dato 1," not in model.requests[-1].user


async def test_a_model_that_is_away_is_asked_again_later(
    client: httpx.AsyncClient,
    database: Database,
    owner: str,
    session: dict[str, Any],
    model: StandIn,
    writer: OllamaModel,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await tell(client, session, 0, ENOUGH)
    job = json.dumps({"owner": owner, "session": session["id"]}).encode()
    for attempt in (0, 50):
        model.fail("status", status=503)
        with pytest.raises(RetryRequested):
            await summarise_job(database, writer, job, attempt)
    with pytest.raises(RetryRequested):
        await summarise_job(database, None, job)
    assert "waits for the model" in caplog.text
    assert "dato" not in caplog.text
    model.fail("empty")
    with pytest.raises(RetryRequested):
        await summarise_job(database, writer, job, 0)
    model.fail("empty")
    await summarise_job(database, writer, job, 4)  # given up until somebody says something more
    model.say("Al fin.")
    await summarise_job(database, writer, job)
    assert (await summary_of(client))["summary"] == "Al fin."
    await tell(client, session, ENOUGH, ENOUGH)
    model.fail("status", status=500, times=3)
    with pytest.raises(ModelUnavailable):
        await summarise(database, writer, owner, UUID(session["id"]))


async def test_chat_has_it_written_by_the_worker_and_a_new_process_goes_on(
    chat_settings: Settings, migrated_url: str, model: StandIn
) -> None:
    model.always = "Pues vale, mortal."
    with_worker = chat_settings.model_copy(update={"worker_in_process": True})
    app = create_app(with_worker, migrated_url)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http,
    ):
        for number in range(ENOUGH):
            said = {"message": f"dato {number}", "session_id": "s1"}
            assert (await http.post("/chat", json=said)).status_code == 200
        async with asyncio.timeout(120):
            while (await http.get("/sessions/s1/summary")).json()["summary"] != "Pues vale, mortal.":  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    again = create_app(chat_settings, migrated_url)
    transport = httpx.ASGITransport(again)
    async with (
        again.router.lifespan_context(again),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http,
    ):
        await http.post("/chat", json={"message": "¿Qué dije?", "session_id": "s1"})
        system = model.requests[-1].system
        assert "Resumen de lo hablado: Pues vale, mortal." in system


async def test_the_queue_takes_one_job_a_session(
    chat_settings: Settings, talk: httpx.AsyncClient, database: Database, model: StandIn
) -> None:
    for number in range(ENOUGH + 2):
        await talk.post("/chat", json={"message": f"dato {number}", "session_id": "s9"})
    ref = (await talk.get("/sessions/s9")).json()["id"]
    async with database.unowned() as connection:
        statement = text("SELECT count(*) FROM pgqueuer WHERE dedupe_key = :key")
        assert await connection.scalar(statement, {"key": f"summarise_session:{ref}"}) == 1
