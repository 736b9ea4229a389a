"""A question put better by a language model before memories are searched with it."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from memory_service.llm.stand_in import StandIn
from memory_service.settings import Settings
from pydantic import ValidationError

from .conftest import Service

QUESTION = "¿Qué hace el gato?"


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn() as running:
        yield running


def rewriting(server: StandIn, **given: Any) -> dict[str, Any]:
    """Settings of a service whose model is `server`'s and rewrites questions."""
    model = {"llm_base_url": server.openai_url, "llm_model": "casiopy:live", "recall_rewrite": True}
    return model | {"recall_rewrite_seconds": 20.0} | given


async def test_the_model_puts_the_question_better(service: Service, owner: str, server: StandIn) -> None:
    server.say(*[json.dumps({"question": " ¿Cómo se llama el gato? "})] * 2)
    async with service(owner, **rewriting(server)) as caller:
        await caller.tell_all("luna", ["Copérnico es el nombre de mi gato.", "Hoy llueve sobre el asunto aquel."])
        found = await caller.recall("luna", "Oye, ¿y el asunto aquel del bicho?", explain=True)
        assert found["note"] == "se buscó «¿Cómo se llama el gato?»"
        assert found["hits"][0]["content"] == "luna: Copérnico es el nombre de mi gato."
        assert (await caller.context("luna", "Oye, ¿y el asunto aquel del bicho?"))["note"] is None
        metrics = (await caller.http.get("/metrics")).text
        assert 'casiopy_recall_second_looks_total{outcome="done",step="rewrite"}' in metrics
    assert len(server.requests) == 2
    asked = server.requests[0]
    assert asked.user == "Oye, ¿y el asunto aquel del bicho?"
    assert "ISO code es" in asked.system
    assert (asked.schema or {})["required"] == ["question"]
    assert "Copérnico" not in asked.prompt
    assert "luna" not in asked.prompt


@pytest.mark.parametrize(
    "answer", ["no JSON", "{}", '{"question": " "}', '{"question": 7}', '{"question": "a\\u0000"}', "[" * 9000, "[1]"]
)
async def test_an_answer_that_is_no_question(service: Service, owner: str, server: StandIn, answer: str) -> None:
    server.say(answer)
    async with service(owner, worker=False, **rewriting(server)) as caller:
        await caller.tell("luna", "El gato duerme.")
        found = await caller.recall("luna", QUESTION)
        assert found["note"] == "se buscó la pregunta tal cual: el modelo de lenguaje no dio una pregunta"
        assert found["hits"][0]["explain"]["reason"] == "comparte «gato»; aún no tiene vector"


async def test_a_server_in_trouble(service: Service, owner: str, server: StandIn) -> None:
    async with service(owner, worker=False, **rewriting(server)) as caller:
        await caller.tell("luna", "El gato duerme.")
        for trouble, says in [("empty", "no dio una pregunta"), ("status", "no está disponible")]:
            server.fail(trouble, times=3)  # type: ignore[arg-type]
            found = await caller.recall("luna", QUESTION)
            assert found["note"] == f"se buscó la pregunta tal cual: el modelo de lenguaje {says}"
            assert len(found["hits"]) == 1
            server.forget()
        server.stop()
        assert "no está disponible" in (await caller.context("luna", QUESTION))["note"]


async def test_a_late_answer_is_not_waited_for(service: Service, owner: str, server: StandIn) -> None:
    server.fail("hang", seconds=200)
    async with service(owner, worker=False, **rewriting(server, recall_rewrite_seconds=0.2)) as caller:
        await caller.tell("luna", "El gato duerme.")
        async with asyncio.timeout(100):
            found = await caller.recall("luna", QUESTION)
        assert found["note"] == "se buscó la pregunta tal cual: el modelo de lenguaje no contestó a tiempo"
        assert len(found["hits"]) == 1


async def test_a_wall_of_text_is_no_question_to_rewrite(service: Service, owner: str, server: StandIn) -> None:
    async with service(owner, worker=False, **rewriting(server)) as caller:
        await caller.tell("luna", "El gato duerme.")
        found = await caller.recall("luna", "gato " * 201)
        assert found["note"] == "se buscó la pregunta tal cual: es demasiado larga para reescribirla"
    assert server.requests == []


async def test_what_a_viewer_asks_who_opted_out_is_sent_to_nobody(
    service: Service, owner: str, server: StandIn
) -> None:
    async with service(owner, worker=False, **rewriting(server)) as caller:
        await caller.tell("luna", "El gato duerme.")
        (await caller.http.patch("/users/luna", json={"opt_out_recall": True})).raise_for_status()
        assert (await caller.recall("luna", QUESTION))["hits"] == []
    assert server.requests == []


def test_rewriting_needs_a_model() -> None:
    with pytest.raises(ValidationError, match="RECALL_REWRITE=true needs a language model"):
        Settings(_env_file=None, recall_rewrite=True)


async def test_chat_recalls_by_the_better_question(service: Service, owner: str, server: StandIn) -> None:
    async with service(owner, **rewriting(server)) as caller:
        await caller.tell_all(
            "luna", ["Copérnico es el nombre de mi gato.", *[f"Día {day} de lluvia." for day in range(6)]]
        )
        server.say(json.dumps({"question": "¿Cómo se llama el gato?"}))
        body = {"message": "Oye, ¿y lo del bicho aquel?", "user_id": "luna"}
        answered = (await caller.http.post("/chat", json=body)).raise_for_status().json()
    assert answered["response"]
    asked, talked = server.requests[:2]
    assert asked.user == body["message"]
    assert "Copérnico" not in asked.prompt
    assert "Copérnico es el nombre de mi gato." in talked.prompt
    assert talked.messages[-1]["content"].endswith(body["message"])
