"""Who is let in, what every answer says about the limit, and what a refused caller can find out or cause: nothing."""

import asyncio
import time
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from memory_service.app import create_app
from memory_service.db import Database
from memory_service.embedded import EmbeddedPostgres
from memory_service.keys import service
from memory_service.keys.repository import operators_transaction
from memory_service.runtime import bring_up_to_date
from memory_service.settings import Settings
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.responses import StreamingResponse

FIXED = "fixed-key-of-the-operator"
RATE = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")


def _bearer(key: str) -> dict[str, Any]:
    return {"Authorization": f"Bearer {key}".encode()}


async def _one(engine: AsyncEngine, query: str, **values: object) -> Any:
    async with engine.begin() as connection:
        return await connection.scalar(text(query), values)


async def _buckets(engine: AsyncEngine) -> int:
    return int(await _one(engine, "SELECT count(*) FROM rate_limit_buckets"))


@pytest.fixture
async def wrong(make_key: Any) -> list[dict[str, Any]]:
    """Headers of callers who are not let in, each for another reason."""
    revoked, _ = await make_key(revoked=True)
    right, _ = await make_key()
    return [
        {},
        _bearer("nonsense"),
        _bearer("aimsk_live_" + "0" * 64),
        _bearer(right + "0"),
        _bearer(right.upper()),
        _bearer(revoked),
        _bearer("ñ"),
        _bearer(""),
        {"Authorization": f"Basic {FIXED}"},
        {"Authorization": FIXED},
        {"X-API-Key": FIXED[:-1]},
        {"X-API-Key": ""},
        {"X-API-Key": revoked},
    ]


async def test_every_wrong_key_gets_the_same_answer(keyed: httpx.AsyncClient, wrong: list[dict[str, Any]]) -> None:
    answers = [
        await keyed.request(method, path, headers=headers)
        for headers in wrong
        for method, path in (("GET", "/sessions"), ("POST", "/api/v1/sessions"), ("GET", "/nothing"), ("PUT", "/stats"))
    ]
    assert {(answer.status_code, answer.content, tuple(answer.headers.items())) for answer in answers} == {
        (
            401,
            b'{"detail":"Authentication required","error":"authentication_required"}',
            (("www-authenticate", "Bearer"), ("content-length", "70"), ("content-type", "application/json")),
        )
    }


async def test_every_wrong_key_costs_the_same_work(
    settings: Settings, migrated_url: str, wrong: list[dict[str, Any]]
) -> None:
    changed = Settings(_env_file=None, **(settings.model_dump() | {"api_host": "0.0.0.0", "api_key": FIXED}))
    app = create_app(changed, migrated_url)
    asked: list[str] = []
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as http,
    ):
        engine = app.state.database.engine.sync_engine
        event.listen(engine, "before_cursor_execute", lambda _c, _u, statement, *_: asked.append(statement))
        for headers in wrong:
            await http.get("/sessions", headers=headers)
    assert len(asked) == len(wrong)
    assert len(set(asked)) == 1


async def test_a_flood_of_wrong_keys_writes_nothing(
    keyed: httpx.AsyncClient, superuser: AsyncEngine, database: Database, make_key: Any
) -> None:
    before = await _buckets(superuser)
    for number in range(50):
        assert (await keyed.get("/sessions", headers=_bearer(f"guess-{number}"))).status_code == 401
    assert await _buckets(superuser) == before
    key, _ = await make_key()
    for guess, writes in (("guess", False), (key, True)):
        async with database.unowned() as connection:
            await connection.execute(
                text("SELECT * FROM authenticate_key(:hash)"), {"hash": sha256(guess.encode()).digest()}
            )
            # Only a transaction that writes is given a number.
            assert await connection.scalar(text("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")) is writes


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
async def test_a_key_leads_to_its_own_owner(
    keyed: httpx.AsyncClient, superuser: AsyncEngine, make_key: Any, header: str
) -> None:
    key, record = await make_key(f"owner-{uuid4()}")

    def headers(value: str) -> dict[str, str]:
        return {header: f"Bearer {value}" if header == "Authorization" else value}

    assert (await keyed.post("/sessions", json={"user_id": "ana"}, headers=headers(FIXED))).status_code == 201
    assert (await keyed.get("/sessions", headers=headers(FIXED))).json()["total"] == 1
    assert (await keyed.get("/sessions", headers=headers(key))).json()["total"] == 0
    assert await _one(superuser, "SELECT last_used_at > created_at FROM api_keys WHERE id = :id", id=record.id)


async def test_a_fixed_key_may_have_any_letters(open_service: Any) -> None:
    async with open_service(api_key="contraseña") as http:
        assert (await http.get("/personas", headers={"X-API-Key": "contraseña".encode()})).status_code == 200
        assert (await http.get("/personas", headers={"X-API-Key": "contraseña".encode("latin-1")})).status_code == 401


async def test_a_key_that_is_revoked_is_refused_at_once(
    keyed: httpx.AsyncClient, migrated_url: str, make_key: Any
) -> None:
    key, record = await make_key()
    assert (await keyed.get("/personas", headers=_bearer(key))).status_code == 200
    async with operators_transaction(migrated_url) as connection:
        await service.revoke(connection, str(record.id))
    assert (await keyed.get("/personas", headers=_bearer(key))).status_code == 401


async def test_the_moment_of_use_is_noted_once_a_minute(
    keyed: httpx.AsyncClient, superuser: AsyncEngine, make_key: Any
) -> None:
    key, record = await make_key()
    moments = []
    for age in (None, 50, 70):
        if age is not None:
            change = "UPDATE api_keys SET last_used_at = now() - make_interval(secs => :age) WHERE id = :id"
            async with superuser.begin() as connection:
                await connection.execute(text(change), {"age": age, "id": record.id})
        await keyed.get("/personas", headers=_bearer(key))
        seconds = "SELECT extract(epoch FROM now() - last_used_at)::float8 FROM api_keys WHERE id = :id"
        moments.append(round(float(await _one(superuser, seconds, id=record.id)), -1))
    assert moments == [0, 50, 0]


async def test_bursts_then_refusals(keyed: httpx.AsyncClient, make_key: Any) -> None:
    key, _ = await make_key(rate_limit=3)
    answers = [await keyed.get("/personas", headers=_bearer(key)) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0", "0"]
    refused, now = answers[-1], time.time()
    assert refused.json() == {"detail": "Rate limit exceeded", "error": "rate_limited"}
    assert 10 <= int(refused.headers["retry-after"]) <= 20
    assert 50 <= int(refused.headers["x-ratelimit-reset"]) - now <= 61
    assert [answer.headers.get("retry-after") for answer in answers[:3]] == [None] * 3


async def test_who_waits_as_told_is_heard_again(
    keyed: httpx.AsyncClient, superuser: AsyncEngine, make_key: Any
) -> None:
    key, record = await make_key(rate_limit=2)
    *_, refused = [await keyed.get("/personas", headers=_bearer(key)) for _ in range(3)]
    assert refused.status_code == 429
    # Time passes for a bucket when its last refill moves into the past: the clock itself is PostgreSQL's.
    past = "UPDATE rate_limit_buckets SET refilled_at = refilled_at - make_interval(secs => :told)"
    wait = f"{past} WHERE bucket = :key RETURNING 1"
    assert await _one(superuser, wait, told=int(refused.headers["retry-after"]), key=str(record.id))
    assert (await keyed.get("/personas", headers=_bearer(key))).status_code == 200


async def test_api_key_has_a_limit_of_its_own(open_service: Any, superuser: AsyncEngine, make_key: Any) -> None:
    await _one(superuser, "DELETE FROM rate_limit_buckets WHERE bucket = 'API_KEY' RETURNING 1")
    key, _ = await make_key()
    async with open_service(api_key=FIXED, api_key_rate_limit=2) as http:
        answers = [await http.get("/personas", headers={"X-API-Key": FIXED}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert {answer.headers["x-ratelimit-limit"] for answer in answers} == {"2"}
        assert (await http.get("/personas", headers=_bearer(key))).status_code == 200
    await _one(superuser, "DELETE FROM rate_limit_buckets WHERE bucket = 'API_KEY' RETURNING 1")


@pytest.fixture
async def odd(settings: Settings, migrated_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The service with two further addresses: one has a defect, one streams its answer."""
    app: FastAPI = create_app(settings, migrated_url)

    @app.get("/defect")
    async def _defect() -> None:
        raise ZeroDivisionError("secret detail")

    @app.get("/stream")
    async def _stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for part in (b"one ", b"two"):
                yield part

        return StreamingResponse(parts())

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http,
    ):
        yield http


async def test_every_answer_to_a_key_says_how_much_is_left(odd: httpx.AsyncClient, make_key: Any) -> None:
    key, _ = await make_key(rate_limit=100)
    odd.headers.update(_bearer(key))
    entry = {"category": "like", "key": "rain", "value": "Te gusta la lluvia.", "is_mutable": True}
    stored = (await odd.post("/core-memory", json=entry)).json()["id"]
    once, body = {"Idempotency-Key": "once"}, {"user_id": "ana"}
    started = time.monotonic()
    answers = [
        await odd.get("/sessions"),
        await odd.post("/sessions", json=body, headers=once),
        await odd.post("/sessions", json=body, headers=once),
        await odd.delete(f"/core-memory/{stored}"),
        await odd.post("/sessions", content=b"{"),
        await odd.get(f"/sessions/{uuid4()}"),
        await odd.get("/nothing"),
        await odd.delete("/sessions"),
        await odd.post("/sessions", json={"user_id": "bea"}, headers=once),
        await odd.post("/sessions", content=b"x", headers={"Content-Length": str(2**30)}),
        await odd.get("/defect"),
        await odd.get("/stream"),
    ]
    statuses = [200, 201, 201, 204, 400, 404, 404, 405, 409, 413, 500, 200]
    assert [answer.status_code for answer in answers] == statuses
    assert answers[2].headers["idempotent-replay"] == "true"
    assert answers[-1].text == "one two"
    assert "secret detail" not in answers[-2].text
    left = [int(answer.headers["x-ratelimit-remaining"]) for answer in answers]
    # Each of them took a token, whatever became of it; some have come back meanwhile.
    back = (time.monotonic() - started) * 100 / 60 + 1
    assert len(answers) - 1 - back <= left[0] - left[-1] <= len(answers) - 1
    assert {answer.headers["x-ratelimit-limit"] for answer in answers} == {"100"}


async def test_a_request_that_fails_has_been_made(keyed: httpx.AsyncClient, make_key: Any) -> None:
    key, _ = await make_key(rate_limit=2)
    answers = [await keyed.post("/sessions", content=b"{", headers=_bearer(key)) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [400, 400, 429]


OPEN = ("/", "/api/v1/", "/health", "/api/v1/health", "/metrics", "/openapi.json", "/docs", "/redoc")


@pytest.mark.parametrize("path", [*OPEN, "/static-offline-docs/swagger-ui.css"])
async def test_open_addresses_need_no_key_and_are_not_limited(
    keyed: httpx.AsyncClient, make_key: Any, path: str
) -> None:
    key, _ = await make_key(rate_limit=1)
    for headers in ({}, _bearer("wrong"), _bearer(key), _bearer(key)):
        answer = await keyed.get(path, headers=headers)
        assert answer.status_code == 200
        assert not set(RATE) & set(answer.headers)


@pytest.mark.parametrize(
    "path", ["//", "//health", "/health/", "/metrics/", "/docs/x", "/api/v1/metrics", "/static-offline-docs"]
)
async def test_what_only_looks_like_an_open_address_is_closed(keyed: httpx.AsyncClient, path: str) -> None:
    assert (await keyed.get(f"http://127.0.0.1:8820{path}")).status_code == 401


async def test_without_keys_nothing_is_limited(client: httpx.AsyncClient, superuser: AsyncEngine) -> None:
    before = await _buckets(superuser)
    answer = await client.get("/personas")
    assert answer.status_code == 200
    assert not set(RATE) & set(answer.headers)
    assert await _buckets(superuser) == before


async def test_a_key_counts_where_none_is_needed(client: httpx.AsyncClient, make_key: Any) -> None:
    key, _ = await make_key(f"owner-{uuid4()}", rate_limit=1)
    await client.post("/sessions", json={"user_id": "ana"})
    answer = await client.get("/sessions", headers=_bearer(key))
    assert (answer.json()["total"], answer.headers["x-ratelimit-limit"]) == (0, "1")
    assert (await client.get("/sessions", headers=_bearer(key))).status_code == 429
    assert (await client.get("/sessions", headers=_bearer("wrong"))).status_code == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.20", "::"])
async def test_other_machines_need_a_key_even_without_api_key(open_service: Any, make_key: Any, host: str) -> None:
    key, _ = await make_key()
    async with open_service(api_host=host) as http:
        assert (await http.get("/personas")).status_code == 401
        assert (await http.get("/personas", headers={"Host": "casiopy.example", **_bearer(key)})).status_code == 200


AWAY = "postgresql://nobody@127.0.0.1:9/none"


@pytest.mark.parametrize("headers", [{}, _bearer("wrong"), {"X-API-Key": FIXED}])
@pytest.mark.parametrize("path", ["/api/v1/personas", "/api/v1/memory", "/api/v1/nothing"])
async def test_without_a_database_nobody_is_let_in_or_refused(
    open_service: Any, headers: dict[str, Any], path: str
) -> None:
    async with open_service(AWAY, api_host="0.0.0.0", api_key=FIXED) as http:
        async with asyncio.timeout(60):  # not as long as a connection may take
            answer = await http.get(path, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (503, "unavailable")
        assert "/health" in answer.json()["detail"]
        assert (await http.get("/")).status_code == 200
        assert (await http.get("/health")).status_code == 503


async def test_keys_work_again_once_the_database_does(open_service: Any, open_folder: Any) -> None:
    server = EmbeddedPostgres(open_folder / f"comes-and-goes-{uuid4().hex[:8]}", settings={"fsync": "off"})
    url = server.start()
    try:
        await bring_up_to_date(url)
        async with operators_transaction(url) as connection:
            key, _ = await service.generate(connection, "somebody")
        async with open_service(url, api_host="0.0.0.0") as http:
            statuses = [(await http.get("/api/v1/personas", headers=_bearer(key))).status_code]
            server.stop()
            statuses += [(await http.get("/api/v1/personas", headers=_bearer(key))).status_code for _ in range(2)]
            server.start()
            statuses += [(await http.get("/api/v1/personas", headers=_bearer(key))).status_code]
        assert statuses == [200, 503, 503, 200]
    finally:
        server.stop()


async def test_keys_stay_out_of_the_logs(
    keyed: httpx.AsyncClient, make_key: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    key, _ = await make_key(rate_limit=1)
    for value in (key, key, "aimsk_live_guess", FIXED):
        await keyed.get("/personas", headers=_bearer(value))
    logged = " ".join(record.getMessage() for record in caplog.records)
    assert not [value for value in (key, "aimsk_live", FIXED) if value in logged]
