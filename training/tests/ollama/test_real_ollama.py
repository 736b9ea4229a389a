"""The whole way against a real Ollama, where OLLAMA_HOST names one that answers: deploy, as an adapter too, and back."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import pytest
from persona_training.ollama import deployment
from persona_training.ollama.deployment import Request, make_plan, undo, write_and_deploy
from persona_training.ollama.ledger import Entry
from persona_training.ollama.modelfile import Form
from persona_training.ollama.server import OllamaAwayError, OllamaServer
from persona_training.ollama.smoke import Smoke, smoke_test

NAME = "casiopy-test"
LAYER_1 = "personality-20260101T000000"
LAYER_2 = "episodic-2026-w05-20260201T000000"
House = Any  # conftest.House; test modules cannot import a conftest
pytestmark = pytest.mark.opt_in


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    """A real one, left as it was found: everything of this test goes by a name of its own."""
    if not os.environ.get("OLLAMA_HOST"):
        pytest.skip("set OLLAMA_HOST to the address of a real Ollama")
    real = OllamaServer()
    try:
        real.version()
    except OllamaAwayError as error:
        pytest.skip(error.message)
    if any(tag.startswith(f"{NAME}:") for tag in real.digests()):
        pytest.fail(f"{real.url} serves models called {NAME} already; remove them, this test would.", pytrace=False)
    yield real
    for tag in real.digests():
        if tag.startswith(f"{NAME}:"):
            real.delete(tag)


def test_deploy_as_an_adapter_and_back(house: House, server: OllamaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def heard(*asked: Any) -> Smoke:
        """Random weights do not speak; that they are asked, and answer something, is the wire's part."""
        return dataclasses.replace(smoke_test(*asked), faults=[])

    monkeypatch.setattr(deployment, "smoke_test", heard)

    def deploy(adapter: str, tag: str, form: Form) -> Entry:
        plan = make_plan(Request(adapter=adapter, tag=tag, form=form), house.settings, house.service, house.display)
        return write_and_deploy(plan, server, house.service, house.settings, house.display)

    first = deploy(LAYER_1, f"{NAME}:personality", Form.MERGED)
    assert server.digests()[f"{NAME}:latest"] == first.digest
    assert server.system_of(f"{NAME}:latest").startswith("Eres Casiopy.")
    second = deploy(LAYER_2, f"{NAME}:week05", Form.ADAPTER)
    assert second.replaced == first.digest
    names = {f"{NAME}:{tag}" for tag in ("personality", "week05", "latest", "previous")}
    assert {tag for tag in server.digests() if tag.startswith(f"{NAME}:")} == names
    back = undo(NAME, server, house.service, house.settings, house.display, why="to see that it works")
    assert (back.digest, back.adapter_id) == (first.digest, LAYER_1)
    assert server.digests()[f"{NAME}:previous"] == second.digest
    assert undo(NAME, server, house.service, house.settings, house.display).digest == second.digest
