"""Without keys, this machine is heard and web pages are not; settings that would leave a door open are refused."""

from typing import Any

import httpx
import pytest
from memory_service.settings import Settings
from pydantic import ValidationError


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:8820"}, 200),
        ({"host": "[::1]:8820"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": ""}, 403),
        ({"host": "[::1"}, 403),
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


# What a page on another site can send without the browser asking first.
NO_PREFLIGHT = ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", None)
DRIVE_BY: tuple[dict[str, str], ...] = (
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://[::1"},
    {"origin": "file://"},
    {"sec-fetch-site": "cross-site"},
)


@pytest.mark.parametrize("kind", NO_PREFLIGHT)
@pytest.mark.parametrize("sender", DRIVE_BY)
async def test_a_page_of_another_site_writes_nothing(
    client: httpx.AsyncClient, sender: dict[str, str], kind: str | None
) -> None:
    headers = sender if kind is None else sender | {"content-type": kind}
    answer = await client.post("/api/v1/sessions", content=b'{"user_id": "ana"}', headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")
    assert (await client.get("/sessions")).json()["total"] == 0


async def test_a_link_from_another_site_may_be_followed(client: httpx.AsyncClient) -> None:
    assert (await client.get("/docs", headers={"sec-fetch-site": "cross-site"})).status_code == 200


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"cors_origins": "*"}, "CORS_ORIGINS"),
        ({"cors_origins": "https://app.example,*"}, "DEVELOPMENT=true"),
        ({"cors_origins": "app.example"}, "'app.example' is no origin"),
        ({"cors_origins": "https://app.example/path"}, "CORS_ORIGINS"),
        ({"cors_origins": "https://*.example"}, "CORS_ORIGINS"),
        ({"cors_origins": "null"}, "CORS_ORIGINS"),
        ({"api_key": ""}, "API_KEY"),
        ({"api_key": " spaced"}, "API_KEY"),
        ({"encryption_key": "x"}, "not a Fernet key"),
        ({"api_port": 0}, "api_port"),
    ],
)
def test_settings_that_would_leave_a_door_open_are_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        Settings(_env_file=None, **changes)
