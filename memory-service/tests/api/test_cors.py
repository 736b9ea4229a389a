"""Pages of the origins in CORS_ORIGINS may call the service and read every answer; other pages may not."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from memory_service.app import create_app
from memory_service.settings import Settings

APP, STAGING, OTHER = "https://app.example", "https://staging.app.example", "https://evil.example"
ASKED = "authorization,x-api-key,session-id,idempotency-key,content-type"
EXPOSED = "X-RateLimit-Limit X-RateLimit-Remaining X-RateLimit-Reset Retry-After X-Total-Count X-Next-Cursor Idempotent-Replay"


@asynccontextmanager
async def _service(settings: Settings, url: str, **changes: object) -> AsyncIterator[httpx.AsyncClient]:
    """The service with `changes`, and with one further address that has a defect."""
    app = create_app(Settings(_env_file=None, **(settings.model_dump() | changes)), url)

    @app.get("/defect")
    async def _defect() -> None:
        raise ZeroDivisionError

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8820") as http,
    ):
        yield http


@pytest.fixture
async def keyless(settings: Settings, migrated_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Two origins, written as an operator writes them."""
    async with _service(settings, migrated_url, cors_origins=f" {APP}/ ,{STAGING.upper()}, ") as http:
        yield http


def test_origins_are_written_with_commas_and_spaces() -> None:
    written = Settings(_env_file=None, cors_origins=" https://a.example , http://localhost:3000,,")  # type: ignore[arg-type]
    assert written.cors_origins == ("https://a.example", "http://localhost:3000")
    assert Settings(_env_file=None, cors_origins="").cors_origins == ()  # type: ignore[arg-type]


async def _preflight(http: httpx.AsyncClient, origin: str, method: str = "POST") -> httpx.Response:
    headers = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": ASKED}
    return await http.options("/api/v1/memory", headers=headers)


@pytest.mark.parametrize("origin", [APP, STAGING])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_a_browser_that_asks_first_is_told_yes(keyless: httpx.AsyncClient, origin: str, method: str) -> None:
    answer = await _preflight(keyless, origin, method)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == origin
    assert method in answer.headers["access-control-allow-methods"]
    allowed = {name.strip().lower() for name in answer.headers["access-control-allow-headers"].split(",")}
    assert set(ASKED.split(",")) <= allowed


@pytest.mark.parametrize(
    "origin", [OTHER, "https://app.example.evil.example", "http://app.example", f"{APP}:8443", "null"]
)
async def test_other_pages_are_told_no(keyless: httpx.AsyncClient, origin: str) -> None:
    answer = await _preflight(keyless, origin)
    assert answer.status_code == 400
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("changes", "status"), [({}, 403), ({"api_key": "fixed"}, 401), ({"api_host": "0.0.0.0"}, 401)]
)
async def test_without_origins_every_page_is_told_no(
    settings: Settings, migrated_url: str, changes: dict[str, Any], status: int
) -> None:
    async with _service(settings, migrated_url, **changes) as http:
        answer = await _preflight(http, APP)
    assert answer.status_code == status
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def _read(http: httpx.AsyncClient, path: str, **headers: str) -> httpx.Response:
    return await http.get(path, headers={"Origin": APP, **headers})


async def test_a_page_can_read_why_it_was_refused(settings: Settings, migrated_url: str) -> None:
    changes = {"cors_origins": APP, "api_key": "fixed", "api_key_rate_limit": 3}
    async with _service(settings, migrated_url, **changes) as http:
        answers = [await _read(http, "/personas")]
        answers += [await _read(http, path, **{"X-API-Key": "fixed"}) for path in ("/personas", "/defect", "/no", "/x")]
    assert [answer.status_code for answer in answers] == [401, 200, 500, 404, 429]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == APP
        assert answer.headers["vary"] == "Origin"
        assert {name.strip() for name in answer.headers["access-control-expose-headers"].split(",")} == set(
            EXPOSED.split()
        )


async def test_a_page_can_read_that_the_database_is_away(settings: Settings) -> None:
    away = "postgresql://nobody@127.0.0.1:9/none"
    async with _service(settings, away, cors_origins=APP, api_key="fixed") as http:
        answer = await _read(http, "/personas")
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (503, APP)


async def test_development_lets_every_page_in_and_says_so(
    settings: Settings, migrated_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with _service(settings, migrated_url, cors_origins="*", development=True) as http:
        assert "any web page" in caplog.text
        assert (await _preflight(http, OTHER)).headers["access-control-allow-origin"] == "*"
        body = json.dumps({"user_id": "ana"})
        for origin in (OTHER, "null"):
            answer = await http.post("/sessions", content=body, headers={"Origin": origin})
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (201, "*")
        # A name that somebody else points at this machine is still not this machine.
        assert (await http.get("/sessions", headers={"Host": "evil.example", "Origin": OTHER})).status_code == 403
