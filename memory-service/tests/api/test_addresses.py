"""The OpenAPI document, and both addresses of every route."""

import httpx
import pytest
from memory_service.app import create_app
from memory_service.errors import ErrorBody
from memory_service.settings import Settings

OPENAPI = create_app(Settings(_env_file=None), "postgresql://localhost/none").openapi()
OPERATIONS = sorted((method.upper(), path) for path, methods in OPENAPI["paths"].items() for method in methods)
PREFIX = "/api/v1"
NOWHERE = "01a1fc30-7bd7-76f0-a8e0-2b71b539e9e4"

DOCUMENTED = """
    GET /core-memory · GET /core-memory/{category} · POST /core-memory · PUT /core-memory/{entry_id}
    DELETE /core-memory/{entry_id} · GET /core-memory/system-prompt/generate · GET /personas · GET /stats
    POST /sessions · POST /sessions/{session_id}/end · GET /sessions · GET /sessions/{session_id} · PATCH /sessions/{session_id}
    POST /interactions · POST /interactions/bulk · GET /interactions · GET /interactions/{interaction_id}
    GET /interactions/training-ready · PUT /interactions/{interaction_id}/quality · DELETE /interactions/{interaction_id}
    POST /interactions/{interaction_id}/feedback · GET /interactions/{interaction_id}/feedback
    GET /users · PATCH /users/{user_id}
"""


def _filled(path: str) -> str:
    """`path` with an id that exists nowhere in every place."""
    return "/".join(NOWHERE if part.startswith("{") else part for part in path.split("/"))


def test_every_documented_operation_is_in_the_document() -> None:
    documented = {one.strip() for line in DOCUMENTED.strip().splitlines() for one in line.split("·")}
    offered = {f"{method} {path.removeprefix(PREFIX).replace(':path', '')}" for method, path in OPERATIONS}
    assert documented <= offered


def test_operations_are_documented_once_and_in_words() -> None:
    assert all(path.startswith(PREFIX) or path == "/health" for _, path in OPERATIONS)
    operations = [OPENAPI["paths"][path][method.lower()] for method, path in OPERATIONS]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert [operation["operationId"] for operation in operations if not operation.get("description")] == []
    assert all("422" not in operation["responses"] for operation in operations)
    assert OPENAPI["components"]["schemas"]["ErrorBody"]["required"] == list(ErrorBody.model_fields)


def test_keys_and_limits_are_documented() -> None:
    schemes = OPENAPI["components"]["securitySchemes"]
    assert {(one["type"], one.get("scheme"), one.get("name")) for one in schemes.values()} == {
        ("http", "bearer", None),
        ("apiKey", None, "X-API-Key"),
    }
    for method, path in OPERATIONS:
        operation = OPENAPI["paths"][path][method.lower()]
        if path == "/health":
            assert "security" not in operation
            continue
        assert operation["security"] == [{name: []} for name in schemes], "either of them"
        assert {"401", "429", "503"} <= set(operation["responses"])
        limited = operation["responses"]["429"]["headers"]
        assert set(limited) == {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After"}


async def test_the_root_says_where_to_go_on(client: httpx.AsyncClient) -> None:
    answer = (await client.get("/")).json()
    assert (answer["status"], answer["docs"]) == ("ok", "/docs")
    assert answer["message"]
    chat = {"POST /chat", "GET /history/{session_id}", "DELETE /history/{session_id}"}
    assert set(answer["endpoints"]) == chat


@pytest.mark.parametrize(("method", "path"), [one for one in OPERATIONS if one[1].startswith(PREFIX)])
async def test_both_addresses_answer_alike(client: httpx.AsyncClient, method: str, path: str) -> None:
    answers = [await client.request(method, address) for address in (_filled(path), _filled(path).removeprefix(PREFIX))]
    first, second = ((answer.status_code, _shape(answer)) for answer in answers)
    assert first == second
    assert "No such address" not in answers[0].text
    assert first[0] not in {405, 500}


def _shape(answer: httpx.Response) -> object:
    """What is the same when a request is made twice: the refusal, or the names in the answer."""
    if not answer.content:
        return None
    body = answer.json()
    return body if "error" in body else sorted(body)


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/", "/health", "/api/v1/health", "/metrics"])
async def test_what_a_browser_may_open(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 200
