"""Typed memories are recalled beside exchanges, and a user who has nothing else gets sensible answers."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from memory_service.models import Memory, Persona
from sqlalchemy import insert, update

from .conftest import Caller, Service
from .test_without_embedder import failed

DARK = "User prefers dark mode and works in fintech"
CONCISE = "Prefers concise explanations"


def contents(found: dict[str, Any]) -> list[str]:
    return [one["content"] for one in found.get("memories", found.get("hits"))]


async def test_the_documented_questions_are_answered(service: Service, owner: str) -> None:
    """At once, before there is a vector, and afterwards by meaning; the second question shares no word with its answer."""
    async with service(owner, worker=False) as caller:
        await caller.remember("user_123", DARK, "preference", key="ui_theme", value="dark", importance=4)
        await caller.remember("user_456", CONCISE, "preference")
        early = await caller.context("user_123", "What are the user preferences?", limit=5)
        assert contents(early) == [DARK]
        assert contents(await caller.context("user_456", "How should I respond to this user?")) == [CONCISE]
    async with service(owner) as caller:
        await caller.remember("user_456", "Went to Rome", "event")
        await caller.embedded()
        late = await caller.context("user_123", "What are the user preferences?", limit=5)
        assert contents(late) == [DARK]
        assert late["memories"][0]["explain"]["dense"]["rank"] == 1
        assert late["context_summary"] == f"- {DARK}"
        answers = await caller.context("user_456", "How should I respond to this user?")
        assert contents(answers) == [CONCISE, "Went to Rome"]


async def test_a_memory_says_what_it_is(service: Service, owner: str) -> None:
    async with service(owner) as caller:
        stored = await caller.remember(
            "luna", DARK, "preference", key="ui_theme", value={"mode": "dark"}, importance=4, valid_from="2026-01-02"
        )
        await caller.tell("luna", "El modo oscuro del editor es mejor.", "Obvio, mortal.")
        await caller.embedded()
        memories = (await caller.context("luna", "dark mode"))["memories"]
        memory, exchange = sorted(memories, key=lambda one: one["source"], reverse=True)
        expected = {
            "id": stored["id"], "source": "memory", "content": DARK, "memory_type": "preference", "session_id": None,
            "key": "ui_theme", "value": {"mode": "dark"}, "importance": 4, "created_at": "2026-01-02T00:00:00Z",
        }  # fmt: skip
        assert {name: memory[name] for name in expected} == expected
        assert memory["explain"]["lexical"]["rank"] == 1
        assert "comparte «dark», «mode»" in memory["explain"]["reason"]
        assert (exchange["source"], exchange["memory_type"]) == ("interaction", "event")
        assert (exchange["key"], exchange["value"], exchange["importance"]) == (None, None, None)
        hits = (await caller.recall("luna", "dark mode"))["hits"]
        hit = next(one for one in hits if one["source"] == "memory")
        assert [hit[name] for name in ("input_text", "output_text", "dropped", "quality_score")] == [None] * 4
        assert hit["user_id"] == "luna"


async def test_the_summary_dates_what_happened_and_not_what_holds(service: Service, owner: str) -> None:
    async with service(owner) as caller:
        await caller.tell("luna", "Tengo un gato.", occurred_at="2026-01-01T10:00:00Z")
        await caller.remember("luna", "El gato es naranja", valid_from="2026-01-03")
        await caller.remember("luna", "Adoptó un gato", "event", valid_from="2025-12-31")
        summary = (await caller.context("luna", "¿gato?"))["context_summary"]
        assert summary == "- El gato es naranja\n- 2025-12-31: Adoptó un gato\n- 2026-01-01: luna: Tengo un gato."


async def test_what_holds_no_longer_is_not_recalled(
    service: Service,
    owner: str,
) -> None:
    async with service(owner) as caller:
        await caller.remember("luna", "Su gato vive en Madrid", key="cat")
        await caller.remember("luna", "Su gato vive en Lugo", key="cat")
        deleted = await caller.remember("luna", "Su gato es un secreto")
        await caller.http.delete(f"/api/v1/memory/{deleted['id']}/soft", params={"user_id": "luna"})
        erased = await caller.remember("luna", "Su gato se ha borrado")
        await caller.http.delete(f"/api/v1/memory/{erased['id']}")
        expiring = await caller.remember("luna", "Su gato duerme", ttl_seconds=3600)
        await caller.embedded()
        for arms in (["dense"], ["lexical"], ["dense", "lexical"]):
            found = contents(await caller.recall("luna", "¿Qué tal su gato?", arms=arms))
            assert sorted(found) == ["Su gato duerme", "Su gato vive en Lugo"]
        gone = (await caller.recall("luna", "Su gato es un secreto", arms=["dense"]))["hits"]
        assert sorted(one["explain"]["dense"]["rank"] for one in gone) == [1, 2]
        await _expire(caller, expiring["id"])
        for arms in (["dense"], ["lexical"], ["dense", "lexical"]):
            assert contents(await caller.recall("luna", "¿Qué tal su gato?", arms=arms)) == ["Su gato vive en Lugo"]


async def test_memories_stay_within_owner_viewer_and_persona(service: Service, owner: str) -> None:
    owners, viewers = [f"{owner}-1", f"{owner}-2"], ["luna", "sol"]
    async with service(owners[0]) as first, service(owners[1]) as second:
        for caller in (first, second):
            for viewer in viewers:
                await caller.remember(viewer, f"El secreto de {viewer} en {caller.owner}")
                await caller.tell(viewer, "Hola.")
            await _open_persona(caller, "eris")
            await caller.remember("luna", f"El secreto de luna con eris en {caller.owner}", persona="eris")
            await caller.embedded()
        for caller in (first, second):
            for viewer in viewers:
                mine = [f"El secreto de {viewer} en {caller.owner}"]
                others = [f"El secreto de luna con eris en {caller.owner}"] if viewer == "luna" else []
                for arms in (["dense"], ["lexical"], ["dense", "lexical"]):
                    asked: dict[str, Any] = {"arms": arms, "limit": 100}
                    assert await _secrets(caller, viewer, **asked) == mine
                    assert await _secrets(caller, viewer, persona="eris", **asked) == sorted(mine + others)


async def test_a_session_holds_exchanges_only(service: Service, owner: str) -> None:
    async with service(owner) as caller:
        await caller.tell("luna", "Tengo un gato.")
        await caller.remember("luna", "Su gato se llama Miso")
        await caller.embedded()
        found = await caller.recall("luna", "gato", session_id=caller.sessions["luna", "s"])
        assert [one["source"] for one in found["hits"]] == ["interaction"]
        assert len((await caller.recall("luna", "gato"))["hits"]) == 2


async def test_a_memory_that_says_what_an_exchange_says_is_told_once(service: Service, owner: str) -> None:
    async with service(owner) as caller:
        await caller.tell("luna", "Tengo un gato.")
        await caller.remember("luna", "tengo un  gato.")
        await caller.remember("luna", "Tengo un gato naranja")
        await caller.remember("luna", "Tengo un gato naranja", "event")
        await caller.tell("luna", "Tengo un gato naranja", "Obvio.")
        await caller.embedded()
        for limit in (1, 2, 3, 4):
            assert len((await caller.recall("luna", "gato", limit=limit))["hits"]) == min(limit, 3)


async def test_what_has_no_vector_yet_is_told_where_everything_fits(service: Service, owner: str) -> None:
    """More memories than the limit: neither arm can choose among those it cannot compare, so it names none of them."""
    async with service(owner, worker=False) as caller:
        for number in range(3):
            await caller.remember("luna", f"likes: thing {number}", "preference")
        every = (await caller.recall("luna", "¿Qué hora es?", limit=3))["hits"]
        assert [one["content"] for one in every] == [f"likes: thing {number}" for number in (2, 1, 0)]
        assert {one["relevance_score"] for one in every} == {0.0}
        assert {one["explain"]["reason"] for one in every} == {
            "no comparte palabras; aún no tiene vector; va con las demás: caben todas"
        }
        assert (await caller.recall("luna", "¿Qué hora es?", limit=2))["hits"] == []
        shared = (await caller.recall("luna", "thing 1", limit=3))["hits"]
        assert shared[0]["content"] == "likes: thing 1"
        assert shared[0]["relevance_score"] > shared[1]["relevance_score"]
        assert len(shared) == 3
        assert [len((await caller.recall("luna", "2", limit=n))["hits"]) for n in (1, 2, 3)] == [1, 1, 3]
        assert (await caller.recall("luna", "¿Qué hora es?", limit=3, arms=["lexical"]))["hits"] == []


async def test_without_a_model_memories_are_told_where_everything_fits(service: Service, owner: str) -> None:
    async with service(owner, load_embedder=failed) as caller:
        await caller.remember("luna", CONCISE, "preference")
        found = await caller.context("luna", "How should I respond to this user?")
        assert contents(found) == [CONCISE]
        assert found["memories"][0]["explain"]["reason"] == (
            f"no comparte palabras; {found['note']}; va con las demás: caben todas"
        )


@pytest.mark.usefixtures("one_moment")
async def test_the_same_question_has_the_same_answer(service: Service, owner: str) -> None:
    async with service(owner) as caller:
        for number in range(6):
            await caller.remember("luna", f"Memoria {number % 3}", valid_from="2026-01-01")
            await caller.tell(
                "luna", f"Memoria {number % 3}", f"Respuesta {number}", occurred_at="2026-01-01T00:00:00Z"
            )
        await caller.embedded()
        answers = [await caller.context("luna", "memoria", limit=20) for _ in range(3)]
        assert answers[0] == answers[1] == answers[2]
        assert len(answers[0]["memories"]) == 9
        for limit in (1, 4, 7):
            assert (await caller.context("luna", "memoria", limit=limit))["memories"] == answers[0]["memories"][:limit]


async def _secrets(caller: Caller, viewer: str, **fields: Any) -> list[str]:
    found = contents(await caller.recall(viewer, "¿Cuál es el secreto de luna con eris?", **fields))
    return sorted(one for one in found if "secreto" in one)


async def _open_persona(caller: Caller, slug: str) -> None:
    async with caller.database.transaction(caller.owner) as connection:
        persona = {"id": uuid4(), "owner_id": caller.owner, "slug": slug, "name": slug.title()}
        await connection.execute(insert(Persona).values(persona))


async def _expire(caller: Caller, memory_id: str) -> None:
    async with caller.database.transaction(caller.owner) as connection:
        a_moment_ago = datetime.now(UTC) - timedelta(seconds=1)
        await connection.execute(update(Memory).where(Memory.id == memory_id).values(expires_at=a_moment_ago))
