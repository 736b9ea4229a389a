"""The stand-in itself: its wire formats are the documented ones, read here without any client library."""

import json
import subprocess
import sys
from typing import Any

import httpx
import pytest
from memory_service.llm.stand_in import StandIn

# No proxy of the environment lies between, and a busy machine is no failure.
HERE: dict[str, Any] = {"trust_env": False, "timeout": 60}
CHAT = {"messages": [{"role": "user", "content": "Hola"}]}


def post(server: StandIn, path: str, **body: object) -> httpx.Response:
    headers = {"Authorization": "Bearer right"}
    return httpx.post(f"{server.url}{path}", json={**CHAT, **body}, headers=headers, **HERE)


def test_openai(server: StandIn) -> None:
    body = post(server, "/v1/chat/completions", model="gpt-4o-mini").json()
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": "*suspiro* Has dicho: Hola",
        "refusal": None,
    }
    assert body["choices"][0]["finish_reason"] == "stop"
    assert set(body["usage"]) == {"prompt_tokens", "completion_tokens", "total_tokens"}


def test_openai_streamed(server: StandIn) -> None:
    answer = post(
        server, "/v1/chat/completions", model="gpt-4o-mini", stream=True, stream_options={"include_usage": True}
    )
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    deltas = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"]]
    assert "".join(deltas) == "*suspiro* Has dicho: Hola"
    assert chunks[-1]["usage"]["total_tokens"] > 0


def test_azure(server: StandIn) -> None:
    path = "/openai/deployments/gpt-4o-mini/chat/completions"
    assert post(server, path).status_code == 404
    assert post(server, f"{path}?api-version=2025-04-01-preview").json()["model"] == "gpt-4o-mini"
    unknown = post(server, "/openai/deployments/nothing/chat/completions?api-version=2025-04-01-preview")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "DeploymentNotFound")


def test_ollama(server: StandIn) -> None:
    body = post(server, "/api/chat", model="casiopy:live", stream=False).json()
    assert body["message"]["content"] == "*suspiro* Has dicho: Hola"
    assert (body["done"], body["done_reason"]) == (True, "stop")
    lines = [json.loads(line) for line in post(server, "/api/chat", model="casiopy:live").text.splitlines()]
    assert "".join(line["message"]["content"] for line in lines) == "*suspiro* Has dicho: Hola"
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert httpx.get(f"{server.url}/api/tags", **HERE).json()["models"][0]["name"] == "casiopy:live"
    assert "version" in httpx.get(f"{server.url}/api/version", **HERE).json()


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/chat"])
def test_a_shape_is_kept_to(server: StandIn, path: str) -> None:
    item = {
        "type": "object",
        "properties": {"kind": {"enum": ["b", "a"]}, "n": {"$ref": "#/$defs/n"}},
        "required": ["kind", "n"],
    }
    schema = {
        "type": "object",
        "properties": {"items": {"type": "array", "minItems": 1, "items": item}, "other": {"type": "string"}},
        "required": ["items"],
        "$defs": {"n": {"type": ["integer", "null"]}},
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    body = post(server, path, model="casiopy:live", stream=False, format=schema, response_format=wanted).json()
    text = body["message"]["content"] if "message" in body else body["choices"][0]["message"]["content"]
    assert json.loads(text) == {"items": [{"kind": "b", "n": 0}]}


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/v1/chat/completions", {"model": "none"}, 404, "model_not_found"),
        ("/api/chat", {"model": "none"}, 404, "model 'none' not found"),
        ("/v1/chat/completions", {"model": "gpt-4o-mini", "tools": [{}]}, 400, "does not support tools"),
        ("/api/chat", {"model": "casiopy:live", "tools": [{}]}, 400, "does not support tools"),
    ],
)
def test_what_is_refused(server: StandIn, path: str, body: dict[str, object], status: int, said: str) -> None:
    answer = post(server, path, **body)
    assert answer.status_code == status
    assert said in answer.text


def test_a_key_is_asked_for(server: StandIn) -> None:
    server.api_key = "right"
    assert post(server, "/v1/chat/completions", model="gpt-4o-mini").status_code == 200
    server.api_key = "another"
    refused = post(server, "/v1/chat/completions", model="gpt-4o-mini")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")


def test_as_a_program_of_its_own() -> None:
    command = [sys.executable, "-m", "memory_service.llm.stand_in", "--help"]
    assert "--port" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
