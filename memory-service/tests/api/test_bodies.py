"""`curl -d '{…}'` is JSON, whatever curl calls it; what is no JSON is said to be none."""

import json

import httpx
import pytest
from memory_service.app import create_app
from memory_service.settings import Settings

FORM = "application/x-www-form-urlencoded"
CALLED = (FORM, f"{FORM}; charset=UTF-8", FORM.upper(), "application/json", "application/vnd.api+json", "", None)
OPENAPI = create_app(Settings(_env_file=None), "postgresql://localhost/none").openapi()
WITH_BODY = sorted(
    (method.upper(), path)
    for path, methods in OPENAPI["paths"].items()
    for method, operation in methods.items()
    if "requestBody" in operation
)


def _headers(called: str | None) -> dict[str, str]:
    return {} if called is None else {"content-type": called}


@pytest.mark.parametrize("called", CALLED)
async def test_a_body_is_read_as_json(client: httpx.AsyncClient, called: str | None) -> None:
    body = json.dumps({"user_id": "ñandú & co = 50%+"}, ensure_ascii=False).encode()
    answer = await client.post("/api/v1/sessions", content=body, headers=_headers(called))
    assert (answer.status_code, answer.json().get("user_id")) == (201, "ñandú & co = 50%+"), answer.text


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
async def test_every_address_does_so(client: httpx.AsyncClient, method: str, path: str) -> None:
    filled = "/".join(
        "01a1fc30-7bd7-76f0-a8e0-2b71b539e9e4" if part.startswith("{") else part for part in path.split("/")
    )
    answers = [
        await client.request(method, filled, content=b'{"no_such_field": 1}', headers=_headers(called))
        for called in ("application/json", FORM, None)
    ]
    assert len({(answer.status_code, frozenset(answer.json())) for answer in answers}) == 1
    assert "dictionary" not in answers[1].text


@pytest.mark.parametrize("called", [FORM, "application/json", None])
@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"user_id=ana", "not JSON"),
        (b'{"user_id": "ana"', "not JSON"),
        (b"", "no body"),
        (b'{"user_id": "\xc3"}', "JSON in UTF-8"),
        (b'{"user_id": "\xe9"}', "JSON in UTF-8"),
        (b"[" * 100_000, "nested"),
        (b'["ana"]', "must be a JSON object"),
        (b'"ana"', "must be a JSON object"),
    ],
)
async def test_what_is_no_json_object_is_refused_in_words(
    client: httpx.AsyncClient, body: bytes, complaint: str, called: str | None
) -> None:
    answer = await client.post("/sessions", content=body, headers=_headers(called))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert complaint in answer.json()["detail"]


@pytest.mark.parametrize("called", ["text/plain", "multipart/form-data; boundary=x", "application/octet-stream"])
async def test_other_kinds_of_body_are_refused_in_words(client: httpx.AsyncClient, called: str) -> None:
    answer = await client.post("/sessions", content=b'{"user_id": "ana"}', headers=_headers(called))
    assert answer.status_code == 400
    assert "Content-Type: application/json" in answer.json()["detail"]
