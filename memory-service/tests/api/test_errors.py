"""Every refusal has one shape and says what to do."""

import json
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from memory_service.app import create_app
from memory_service.settings import Settings

OPENAPI = create_app(Settings(_env_file=None), "postgresql://localhost/none").openapi()
OPERATIONS = sorted(
    (method.upper(), path, operation)
    for path, methods in OPENAPI["paths"].items()
    for method, operation in methods.items()
)
JSON = {"content-type": "application/json"}
NOWHERE = "01a1fc30-7bd7-76f0-a8e0-2b71b539e9e4"


def _check(answer: httpx.Response, status: int, code: str | None = None) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"detail", "error"}
    assert re.fullmatch(r"[a-z_]+", body["error"])
    assert len(body["detail"]) > 8
    assert "Traceback" not in body["detail"]
    if code is not None:
        assert body["error"] == code


def _filled(path: str, with_: str) -> str:
    return "/".join(with_ if part.startswith("{") else part for part in path.split("/"))


WITH_BODY = [(method, path) for method, path, operation in OPERATIONS if "requestBody" in operation]
WITH_ID = [
    (method, path)
    for method, path, operation in OPERATIONS
    if any(part["in"] == "path" and part["schema"].get("format") == "uuid" for part in operation.get("parameters", []))
]
WITH_LIMIT = [
    path
    for method, path, operation in OPERATIONS
    if any(part["name"] == "limit" for part in operation.get("parameters", []))
]


NO_REQUESTS: tuple[str | bytes, ...] = ("{", "[]", '"text"', "[" * 100_000, b"\xff\xfe", '{"\\ud800": 1}')
NO_PAGES = ("limit=0", "limit=501", "limit=x", "cursor=%FF", "cursor=W10", "cursor=e30", "cursor=WzBd")


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
async def test_bodies_that_are_no_request(client: httpx.AsyncClient, method: str, path: str) -> None:
    for body in NO_REQUESTS:
        answer = await client.request(method, _filled(path, NOWHERE), content=body, headers=JSON)
        # An optional body, and nothing to apply it to; or one of which nothing is needed.
        if answer.status_code == 404 or path.endswith("/sessions/new"):
            assert (body == NO_REQUESTS[-1]) == (answer.status_code != 400)
        else:
            _check(answer, 400)


@pytest.mark.parametrize(("method", "path"), WITH_ID)
async def test_ids_that_are_none(client: httpx.AsyncClient, method: str, path: str) -> None:
    for made_up in ("seven", "01a1fc30", "%00"):
        _check(await client.request(method, _filled(path, made_up)), 400)


@pytest.mark.parametrize("path", WITH_LIMIT)
async def test_pages_that_are_none(client: httpx.AsyncClient, path: str) -> None:
    for query in NO_PAGES:
        answer = await client.get(f"{_filled(path, NOWHERE)}?{query}")
        if answer.status_code == 404:  # a list of something that is not there
            assert "{" in path
        else:
            _check(answer, 400)


@pytest.mark.parametrize("path", ["/memory/context", "/recall"])
async def test_a_field_called_query_is_named(client: httpx.AsyncClient, path: str) -> None:
    for wrong in ({}, {"query": ""}, {"query": 3}):
        answer = await client.post(path, json={"user_id": "ana", **wrong})
        _check(answer, 400, "invalid_request")
        assert answer.json()["detail"].startswith("query: ")


@pytest.mark.parametrize("path", ["/nothing", "/api/v1/nothing", "/api/v2/sessions", "/sessions/a/b/c"])
async def test_unknown_addresses(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    _check(answer, 404, "not_found")
    assert "/docs" in answer.json()["detail"]


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/sessions"), ("POST", "/stats"), ("PUT", "/interactions")])
async def test_wrong_methods(client: httpx.AsyncClient, method: str, path: str) -> None:
    _check(await client.request(method, path), 405, "method_not_allowed")


@pytest.mark.parametrize("announced", [True, False])
async def test_bodies_that_are_too_large(client: httpx.AsyncClient, settings: Settings, announced: bool) -> None:
    size = settings.max_body_mb * 1024**2 + 1

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(size // 65_536 + 1):
            yield b" " * 65_536

    content = b" " * size if announced else parts()
    _check(await client.post("/sessions", content=content, headers=JSON), 413, "too_large")


async def test_a_body_just_within_the_limit_is_read(client: httpx.AsyncClient, settings: Settings) -> None:
    body = json.dumps({"user_id": "ana"}).ljust(settings.max_body_mb * 1024**2 - 1024)
    assert (await client.post("/sessions", content=body, headers=JSON)).status_code == 201


@pytest.fixture(
    params=["postgresql://nobody@127.0.0.1:9/none", "postgresql://nobody@/none?host=/nowhere/at/all"],
    ids=["port closed", "socket missing"],
)
async def cut_off(settings: Settings, request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    """A service whose database is not there."""
    app = create_app(settings, request.param)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8820") as http,
    ):
        yield http


async def test_without_a_database_every_route_says_so(cut_off: httpx.AsyncClient) -> None:
    for method, path, _ in OPERATIONS:
        if path == "/health":
            continue
        answer = await cut_off.request(
            method, _filled(path, NOWHERE), params={"user_id": "u"}, headers={"idempotency-key": "k"}
        )
        _check(answer, 503, "unavailable")
        assert "/health" in answer.json()["detail"]


async def test_without_a_database_the_health_check_names_it(cut_off: httpx.AsyncClient) -> None:
    answer = await cut_off.get("/health")
    assert answer.status_code == 503
    assert answer.json()["status"] == "failed"
    assert answer.json()["checks"]["database"]["status"] == "failed"


async def test_a_defect_is_an_answer_too(settings: Settings, migrated_url: str) -> None:
    app = create_app(settings, migrated_url)

    @app.get("/defect")
    async def _defect() -> None:
        raise ZeroDivisionError("secret detail")

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8820") as http:
        answer = await http.get("/defect")
    _check(answer, 500, "internal_error")
    assert "secret detail" not in answer.text
