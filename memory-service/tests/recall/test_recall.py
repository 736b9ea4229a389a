"""Recall over HTTP with the packaged model: what is found, in what order, and how it explains itself."""

from datetime import datetime
from uuid import uuid4

import httpx
import pytest

from .conftest import Service

LUNA = [
    "Tengo un gato naranja que se llama Miso.",
    "El examen de anatomía es el 15 de enero.",
    "Soy alérgica a los cacahuetes.",
    "Mi «fiesta sorpresa» fue horrible…",
    "Ayer paseamos bajo la lluvia por Zaragoza.",
    "I am learning to play the ukulele with my sister.",
]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("¿Cómo se llama mi gato?", LUNA[0]),
        ("¿cuando es mi EXAMEN de anatomia?", LUNA[1]),  # neither accents nor case matter
        ("¿A qué tengo alergia? ¿cacahuete?", LUNA[2]),  # singular for plural
        ("¿Qué tal la fiesta?", LUNA[3]),  # said inside quotation marks
        ("¿Pasear con lluvias?", LUNA[4]),  # other forms of both words
        ("Which musical instrument do I practise?", LUNA[5]),  # no word in common
    ],
)
async def test_what_was_said_is_found_again(service: Service, owner: str, query: str, first: str) -> None:
    async with service(owner) as caller:
        await caller.tell_all("luna", LUNA)
        found = await caller.recall("luna", query)
        assert found["note"] is None
        assert found["hits"][0]["input_text"] == first


async def test_a_hit_explains_itself(service: Service, owner: str) -> None:
    async with service(owner) as caller:
        await caller.tell_all("luna", LUNA)
        hits = (await caller.recall("luna", "¿Cómo se llama mi gato?"))["hits"]
        top = hits[0]["explain"]
        assert (top["dense"]["rank"], top["lexical"]["rank"]) == (1, 1)
        assert top["fused"] == max(hit["explain"]["fused"] for hit in hits) > 0.4
        assert -1 <= top["dense"]["score"] <= 1
        assert "se parece por el significado (puesto 1" in top["reason"]
        assert "«gato»" in top["reason"]
        assert [hit["relevance_score"] for hit in hits] == [hit["explain"]["fused"] for hit in hits]
        assert [hit["explain"]["fused"] for hit in hits] == sorted((h["explain"]["fused"] for h in hits), reverse=True)
        no_words = [hit["explain"] for hit in hits if hit["explain"]["lexical"] is None]
        assert no_words
        assert all("no comparte palabras" in one["reason"] for one in no_words)


async def test_one_arm_alone_can_be_asked(service: Service, owner: str) -> None:
    async with service(owner) as caller:
        await caller.tell_all("luna", LUNA)
        dense = (await caller.recall("luna", "gato", arms=["dense"]))["hits"]
        lexical = (await caller.recall("luna", "gato", arms=["lexical"]))["hits"]
        assert len(dense) == len(LUNA)
        assert all(hit["explain"]["lexical"] is None for hit in dense)
        # What follows in the same session is found with it, further down: an answer may not repeat its question's words.
        assert [hit["input_text"] for hit in lexical] == [LUNA[0], LUNA[1]]
        assert lexical[0]["explain"]["dense"] is None
        assert "no pidió el brazo denso" in lexical[0]["explain"]["reason"]


@pytest.mark.usefixtures("one_moment")
async def test_the_same_question_has_the_same_answer(service: Service, owner: str) -> None:
    async with service(owner) as caller:
        await caller.tell_all("luna", LUNA)
        answers = [await caller.context("luna", "¿Qué me pasa?", limit=6) for _ in range(3)]
        assert answers[0] == answers[1] == answers[2]
        places = [(await caller.context("luna", "¿Qué me pasa?", limit=n))["memories"] for n in (1, 3, 6)]
        assert places[0] == places[2][:1]
        assert places[1] == places[2][:3]


async def test_the_context_is_what_a_prompt_needs(service: Service, owner: str) -> None:
    async with service(owner) as caller:
        said = [("2026-01-05", "Adopté un perro."), ("2025-12-30", "Tengo un gato que se llama Miso.")]
        for day, text in said:
            await caller.tell("luna", text, "*suspiro* Otro animal, mortal.", occurred_at=f"{day}T20:00:00Z")
        await caller.embedded()
        context = await caller.context("luna", "¿Qué animales tengo?")
        assert context["context_summary"] == (
            "- 2025-12-30: luna: Tengo un gato que se llama Miso. Casiopy: *suspiro* Otro animal, mortal.\n"
            "- 2026-01-05: luna: Adopté un perro. Casiopy: *suspiro* Otro animal, mortal."
        )
        memory = context["memories"][0]
        assert (memory["source"], memory["memory_type"]) == ("interaction", "event")
        assert set(memory) == {
            "id", "source", "content", "memory_type", "created_at", "relevance_score", "session_id", "key", "value",
            "importance", "explain", "neighbours",
        }  # fmt: skip
        assert datetime.fromisoformat(memory["created_at"]).utcoffset() is not None


async def test_a_dropped_reply_is_not_recalled_as_her_words(service: Service, owner: str) -> None:
    async with service(owner) as caller:
        await caller.tell("luna", "¿Algún consejo para el examen de anatomía?", "Error: connection timed out (500)")
        await caller.embedded()
        found = await caller.recall("luna", "¿Qué pregunté del examen?")
        assert found["hits"][0]["dropped"] is True
        assert found["hits"][0]["content"] == "luna: ¿Algún consejo para el examen de anatomía?"
        context = await caller.context("luna", "¿Qué pregunté del examen?")
        assert "Error" not in context["context_summary"]
        assert "examen" in context["context_summary"]


async def test_the_same_words_said_twice_are_one_memory(service: Service, owner: str) -> None:
    async with service(owner) as caller:
        once = await caller.tell("luna", "Tengo un gato.", "Obvio.", occurred_at="2026-01-01T00:00:00Z")
        again = await caller.tell("luna", "Tengo un gato.", "Obvio.", occurred_at="2026-01-02T00:00:00Z")
        await caller.tell("luna", "Tengo un gato.", "Ya lo sé, mortal.")
        await caller.embedded()
        hits = (await caller.recall("luna", "gato"))["hits"]
        assert len(hits) == 2
        # Which one: their vectors may differ in the last digit, when the model saw them in batches of different sizes.
        assert len({once["id"], again["id"]} & {hit["id"] for hit in hits}) == 1


async def test_a_session_or_a_persona_can_be_asked_for(service: Service, owner: str) -> None:
    async with service(owner) as caller:
        await caller.tell("luna", "En la primera hablamos de gatos.", session="first")
        await caller.tell("luna", "En la segunda hablamos de gatos.", session="second")
        await caller.embedded()
        one = await caller.recall("luna", "gatos", session_id=caller.sessions["luna", "second"])
        assert [hit["input_text"] for hit in one["hits"]] == ["En la segunda hablamos de gatos."]
        assert (await caller.recall("luna", "gatos", session_id=str(uuid4())))["hits"] == []
        other = await caller.http.post("/recall", json={"user_id": "luna", "query": "gatos", "persona": "nobody"})
        assert other.status_code == 404


@pytest.mark.parametrize(
    "query", ["hola", "¿?", "de la que", "'; DROP TABLE x; -- \\ ' & | ! <-> :*", "🦀", "a" * 5000]
)
async def test_any_question_has_an_answer(service: Service, owner: str, query: str) -> None:
    async with service(owner) as caller:
        nothing = {
            "memories": [],
            "context_summary": "",
            "citations": [],
            "tokens": 0,
            "counted_by": "estimate",
            "note": None,
        }
        assert await caller.context("nobody", query) == nothing
        await caller.tell_all("luna", LUNA[:2])
        assert len((await caller.recall("luna", query))["hits"]) == 2


@pytest.mark.parametrize(
    "body",
    [
        {"user_id": "luna"},
        {"user_id": "luna", "query": ""},
        {"user_id": "", "query": "x"},
        {"user_id": "luna", "query": "x", "limit": 0},
        {"user_id": "luna", "query": "x", "limit": 101},
        {"user_id": "luna", "query": "x", "session_id": "no-uuid"},
        {"user_id": "luna", "query": "x\x00"},
        {"user_id": "luna", "query": "x" * 32_001},
    ],
)
async def test_what_cannot_be_asked_is_400(client: httpx.AsyncClient, body: dict[str, object]) -> None:
    answer = await client.post("/memory/context", json=body)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
