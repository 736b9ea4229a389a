"""What happens when the memory service answers, refuses, or is away."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from persona_training.adapters import Manifest
from persona_training.evaluation.service import MemoryService
from persona_training.evaluation.system_prompt import SystemPromptError, choose_system_prompt
from persona_training.settings import Settings

SETTINGS = Settings(memory_service_url="http://memory.test", api_key="secret")


def answering(answer: Callable[[httpx.Request], httpx.Response]) -> MemoryService:
    return MemoryService(SETTINGS, httpx.MockTransport(answer))


def away(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


def manifest(system_prompt: str = "keep") -> Manifest:
    return {"adapter_id": "personality-1", "recipe": {"config": {"system_prompt": system_prompt}}}


def test_a_report_is_posted_once_and_signed() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(201, json={})

    said = answering(answer).register_report("personality-1", {"report_id": "report-1", "verdict": "pass"})
    assert said.startswith("Registered the report")
    (request,) = seen
    assert request.url.path == "/adapters/personality-1/report"
    assert request.headers["authorization"] == "Bearer secret"
    assert request.headers["idempotency-key"] == "report-1"
    assert json.loads(request.content)["verdict"] == "pass"


def test_a_deployment_is_posted() -> None:
    paths: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        return httpx.Response(200, json={})

    answering(answer).register_deployment("personality-1", {"tag": "casiopy:week05"}, "key")
    assert paths == ["/adapters/personality-1/deployments"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (away, "does not answer (ConnectError)"),
        (lambda _: httpx.Response(404, json={"detail": "No such adapter.", "error": "x"}), "(404): No such adapter."),
        (lambda _: httpx.Response(500, text="boom"), "(500): boom"),
    ],
)
def test_trouble_is_told_not_raised(answer: Callable[[httpx.Request], httpx.Response], words: str) -> None:
    assert words in answering(answer).register_report("personality-1", {"report_id": "r"})


@pytest.mark.parametrize(
    ("answer", "prompt"),
    [
        (lambda _: httpx.Response(200, json={"system_prompt": "Eres Casiopy."}), "Eres Casiopy."),
        (lambda _: httpx.Response(200, json={"system_prompt": "  "}), None),
        (lambda _: httpx.Response(200, json={}), None),
        (lambda _: httpx.Response(200, text="not json"), None),
        (lambda _: httpx.Response(503, json={}), None),
        (away, None),
    ],
)
def test_system_prompt_of_the_service(answer: Callable[[httpx.Request], httpx.Response], prompt: str | None) -> None:
    assert answering(answer).system_prompt() == prompt


def test_the_order_of_choice(tmp_path: Path) -> None:
    there = answering(lambda _: httpx.Response(200, json={"system_prompt": "from core memory"}))
    file = tmp_path / "prompt.txt"
    file.write_text("from a file\n", encoding="utf-8")
    assert choose_system_prompt(there, manifest("omit"), [], file).text == "from a file"
    omitted = choose_system_prompt(there, manifest("omit"), [])
    assert (omitted.text, "omit" in omitted.origin) == ("", True)
    assert choose_system_prompt(there, manifest(), []).text == "from core memory"
    with pytest.raises(SystemPromptError, match="--system-prompt"):
        choose_system_prompt(answering(away), manifest(), [])
    with pytest.raises(SystemPromptError, match="cannot be read"):
        choose_system_prompt(there, manifest(), [], tmp_path / "gone.txt")
