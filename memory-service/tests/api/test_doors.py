"""Who is let in: keys, and without keys this machine only."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from memory_service.app import create_app
from memory_service.ids import make_id
from memory_service.settings import Settings
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

FIXED = "fixed-key-of-the-operator"


@asynccontextmanager
async def _service(settings: Settings, url: str) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings, url)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://casiopy.example") as http,
    ):
        yield http


@pytest.fixture
async def keyed(settings: Settings, migrated_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The service as other machines reach it: with a fixed key."""
    changed = settings.model_dump() | {"api_host": "0.0.0.0", "api_key": FIXED}
    async with _service(Settings(_env_file=None, **changed), migrated_url) as http:
        yield http


async def _key(superuser: AsyncEngine, *, revoked: bool = False) -> tuple[str, UUID]:
    """A key of an owner of its own, and the key's id."""
    key, key_id = f"key-{uuid4()}", make_id()
    values: dict[str, Any] = {"id": key_id, "owner": f"owner-{key}", "hash": hashlib.sha256(key.encode()).digest()}
    revoked_at = "now()" if revoked else "NULL"
    async with superuser.begin() as connection:
        await connection.execute(text("INSERT INTO owners (id) VALUES (:owner)"), values)
        insert = f"INSERT INTO api_keys (id, owner_id, key_hash, revoked_at) VALUES (:id, :owner, :hash, {revoked_at})"
        await connection.execute(text(insert), values)
    return key, key_id


async def test_every_wrong_key_gets_the_same_answer(keyed: httpx.AsyncClient, superuser: AsyncEngine) -> None:
    revoked, _ = await _key(superuser, revoked=True)
    wrong: list[dict[str, str]] = [
        {},
        {"authorization": "Bearer nonsense"},
        {"authorization": f"Basic {FIXED}"},
        {"authorization": FIXED},
        {"authorization": "Bearer "},
        {"authorization": f"Bearer {revoked}"},
        {"x-api-key": FIXED[:-1]},
        {"x-api-key": ""},
    ]
    answers = [await keyed.get("/sessions", headers=headers) for headers in wrong]
    assert {(answer.status_code, answer.content, answer.headers["www-authenticate"]) for answer in answers} == {
        (401, b'{"detail":"Authentication required","error":"authentication_required"}', "Bearer")
    }


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
async def test_a_right_key_leads_to_its_own_owner(
    keyed: httpx.AsyncClient, superuser: AsyncEngine, header: str
) -> None:
    key, key_id = await _key(superuser)

    def headers(value: str) -> dict[str, str]:
        return {header: f"Bearer {value}" if header == "authorization" else value}

    assert (await keyed.post("/sessions", json={"user_id": "ana"}, headers=headers(FIXED))).status_code == 201
    assert (await keyed.get("/sessions", headers=headers(FIXED))).json()["total"] == 1
    assert (await keyed.get("/sessions", headers=headers(key))).json()["total"] == 0
    async with superuser.connect() as connection:
        used = text("SELECT last_used_at IS NOT NULL FROM api_keys WHERE id = :id")
        assert await connection.scalar(used, {"id": key_id}) is True


async def test_health_and_documents_need_no_key(keyed: httpx.AsyncClient) -> None:
    for path in ("/health", "/docs", "/openapi.json"):
        assert (await keyed.get(path)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:8820"}, 200),
        ({"host": "[::1]:8820"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": ""}, 403),
        ({"origin": "http://localhost:5000"}, 200),
        ({"origin": "http://127.0.0.1:5000"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost.evil.example"}, 403),
    ],
)
async def test_without_keys_only_this_machine_is_heard(
    client: httpx.AsyncClient, headers: dict[str, str], status: int
) -> None:
    answer = await client.get("/sessions", headers=headers)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["error"] == "forbidden"


async def test_a_wrong_key_is_refused_even_where_none_is_needed(client: httpx.AsyncClient) -> None:
    assert (await client.get("/sessions", headers={"x-api-key": "nonsense"})).status_code == 401


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"cors_origins": "*"}, "CORS_ORIGINS"),
        ({"encryption_key": "x"}, "ENCRYPTION_KEY"),
        ({"api_port": 0}, "api_port"),
    ],
)
def test_settings_that_would_leave_a_door_open_are_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        Settings(_env_file=None, **changes)
