"""What chat learns from a message, by its form and by who answers."""

import json
from typing import Any

import httpx
import pytest
from memory_service.llm.stand_in import Asked, Failure, StandIn

OPERATION = {
    "operation": "ADD",
    "field": "name",
    "memory": 0,
    "value": "Antonio",
    "evidence": "me llamo Antonio",
}


@pytest.fixture
def reading(model: StandIn) -> StandIn:
    """A model that talks, and reads a name where it is asked for JSON."""

    def answer(asked: Asked) -> str:
        return "*suspiro* Hola." if asked.schema is None else json.dumps({"operations": [OPERATION]})

    model.always = answer
    return model


@pytest.mark.parametrize(
    ("body", "learns"),
    [
        ({"prompt": "Hola, me llamo Antonio"}, True),
        ({"mensaje": "Hola, me llamo Antonio"}, True),
        ({"message": "Hola, me llamo Antonio"}, False),
        ({"prompt": "Hola, me llamo Antonio", "extract": False}, False),
        ({"message": "Hola, me llamo Antonio", "extract": True}, True),
    ],
)
async def test_what_each_form_learns(
    talk: httpx.AsyncClient, reading: StandIn, body: dict[str, Any], learns: bool
) -> None:
    answer = (await talk.post("/chat", json={**body, "user_id": "antonio", "session_id": "s1"})).json()
    expected = [{"field": "name", "value": "Antonio", "event": "ADD"}] if learns else []
    if "mensaje" in body:
        assert set(answer) == {"respuesta", "session_id", "decision"}
    else:
        assert (answer["learned"], answer["extractor"]) == (expected, "model" if learns else None)
    known = (await talk.get("/sessions/s1/memory")).json()["profile"]
    assert known == ({"name": "Antonio"} if learns else {})


async def test_what_was_learned_is_in_the_next_prompt_and_leaves_with_its_session(
    talk: httpx.AsyncClient, reading: StandIn
) -> None:
    await talk.post("/chat", json={"prompt": "Hola, me llamo Antonio", "user_id": "antonio", "session_id": "s1"})
    await talk.post("/chat", json={"message": "¿Quién soy?", "user_id": "antonio"})
    assert "- name: Antonio" in reading.requests[-1].system
    await talk.delete("/sessions/s1")
    assert (await talk.get("/memory", params={"user_id": "antonio"})).json() == []


@pytest.mark.parametrize("kind", ["malformed", "status"])
async def test_an_answer_stands_though_nothing_could_be_learned(
    talk: httpx.AsyncClient, model: StandIn, kind: Any
) -> None:
    model.say("Hola.", *[Failure(kind)] * 2)
    answer = await talk.post("/chat", json={"prompt": "Hola, me llamo Antonio", "session_id": "s1"})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["response"], body["learned"], body["extractor"]) == ("Hola.", [], "model")
    assert body["problem"]
    assert (await talk.get("/sessions/s1")).json()["interactions"] == 1


async def test_a_stream_tells_what_it_learned_at_its_end(talk: httpx.AsyncClient, reading: StandIn) -> None:
    answer = await talk.post("/chat", json={"prompt": "Hola, me llamo Antonio", "stream": True})
    last = json.loads(answer.text.strip().splitlines()[-1].removeprefix("data: "))
    assert last["learned"] == [{"field": "name", "value": "Antonio", "event": "ADD"}]
