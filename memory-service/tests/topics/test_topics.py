"""Topics over HTTP and in the database: per owner and persona, replaced as a whole, recognised when found again."""

from uuid import UUID, uuid4

import httpx
import numpy as np
import pytest
from memory_service.db import Database
from memory_service.topics.service import refresh, refresh_everyone, refresh_job
from sqlalchemy import text

THEMES = {
    "gato": "Mi gato Miso tiene tres patas y duerme",
    "rust": "El compilador de Rust rechaza mis referencias",
    "piña": "La pizza con piña merece un tribunal",
}

_STORE = text("""
    WITH u AS (INSERT INTO users (owner_id, id) VALUES (:o, 'viewer')
               ON CONFLICT (owner_id, id) DO UPDATE SET opt_out_training = false RETURNING id),
         s AS (INSERT INTO sessions (id, owner_id, persona_id, user_id)
               SELECT gen_random_uuid(), :o, :p, u.id FROM u RETURNING id, user_id),
         i AS (INSERT INTO interactions (id, owner_id, persona_id, session_id, user_id, input_text, output_text,
                                         quality_score, quality, content_hash, embedding_status)
               SELECT t.id, :o, :p, s.id, s.user_id, t.said, '*suspiro* Obvio, mortal.', 0.5, '{}', '', 'done'
               FROM s, unnest(CAST(:ids AS uuid[]), CAST(:said AS text[])) AS t (id, said) RETURNING id)
    SELECT count(*) FROM i
""")
_STORE_VECTORS = text("""
    INSERT INTO embeddings (owner_id, user_id, document_id, model_id, embedding)
    SELECT :o, d.user_id, d.id, :model, CAST(t.vector AS halfvec)
    FROM recall_documents AS d
    JOIN unnest(CAST(:ids AS uuid[]), CAST(:vectors AS text[])) AS t (id, vector) ON d.interaction_id = t.id
""")


@pytest.fixture
async def model_id(database: Database) -> int:
    """A model of eight dimensions, the active one."""
    statement = text("""
        INSERT INTO embedding_models (name, revision, dimension, active) VALUES ('tiny', 'r', 8, true)
        ON CONFLICT (name, revision) DO UPDATE SET active = true RETURNING id
    """)
    async with database.unowned() as connection:
        return int(await connection.scalar(statement) or 0)


async def persona_of(database: Database, owner: str, slug: str = "casiopy") -> UUID:
    async with database.transaction(owner) as connection:
        await connection.execute(text("INSERT INTO owners (id) VALUES (:o) ON CONFLICT DO NOTHING"), {"o": owner})
        statement = text("""
            INSERT INTO personas (id, owner_id, slug, name) VALUES (gen_random_uuid(), :o, :slug, 'Casiopy')
            ON CONFLICT (owner_id, slug) DO UPDATE SET name = 'Casiopy' RETURNING id
        """)
        return UUID(str(await connection.scalar(statement, {"o": owner, "slug": slug})))


async def store(database: Database, owner: str, persona: UUID, model: int, each: int, *, seed: int = 5) -> None:
    """`each` exchanges of every theme with vectors around the theme's direction."""
    random = np.random.default_rng(seed)
    said, vectors = [], []
    for axis, sentence in enumerate(THEMES.values()):
        for number in range(each):
            vector = random.normal(0, 0.03, 8)
            vector[axis] += 1
            said.append(f"{sentence} {number}")
            vectors.append(str((vector / np.linalg.norm(vector)).round(5).tolist()))
    parameters = {"o": owner, "p": persona, "ids": [uuid4() for _ in said], "said": said, "vectors": vectors}
    async with database.transaction(owner) as connection:
        await connection.execute(_STORE, parameters)
        await connection.execute(_STORE_VECTORS, parameters | {"model": model})


async def test_topics_are_found_labelled_and_shown(
    client: httpx.AsyncClient, database: Database, owner: str, model_id: int
) -> None:
    persona = await persona_of(database, owner)
    await store(database, owner, persona, model_id, 10)
    assert await refresh(database, owner, persona) == 3
    page = (await client.get("/topics")).raise_for_status().json()
    assert (page["total"], page["note"]) == (3, None)
    for theme, sentence in THEMES.items():
        topic = next(item for item in page["items"] if theme in item["keywords"])
        assert topic["label"] == " · ".join(topic["keywords"][:3])
        assert 8 <= topic["interactions"] <= 10
        assert len(topic["examples"]) == 3
        assert all(example.startswith(sentence) for example in topic["examples"])
        assert not {"mortal", "suspiro", "obvio"} & set(topic["keywords"])


async def test_found_again_a_topic_keeps_its_id(database: Database, owner: str, model_id: int) -> None:
    persona = await persona_of(database, owner)
    await store(database, owner, persona, model_id, 10)

    async def topics() -> set[tuple[UUID, str]]:
        async with database.transaction(owner) as connection:
            return {(row.id, row.label) for row in await connection.execute(text("SELECT id, label FROM topics"))}

    await refresh(database, owner, persona)
    first = await topics()
    await refresh(database, owner, persona)
    assert await topics() == first
    await store(database, owner, persona, model_id, 2, seed=6)
    await refresh(database, owner, persona)
    assert {one for one, _ in await topics()} == {one for one, _ in first}


async def test_owners_and_personas_have_topics_of_their_own(
    client: httpx.AsyncClient, database: Database, owner: str, model_id: int
) -> None:
    mine, other = await persona_of(database, owner), await persona_of(database, owner, "other")
    neighbour = f"{owner}-2"
    foreign = await persona_of(database, neighbour)
    await store(database, neighbour, foreign, model_id, 10)
    await store(database, owner, other, model_id, 10)
    await refresh_everyone(database)
    assert (await client.get("/topics")).json()["items"] == []
    assert (await client.get("/topics", params={"persona": "other"})).json()["total"] == 3
    async with database.transaction(owner) as connection:
        assert await connection.scalar(text("SELECT count(*) FROM topics")) == 3
        assert await connection.scalar(text("SELECT count(*) FROM topics WHERE persona_id = :p"), {"p": mine}) == 0
    async with database.transaction(neighbour) as connection:
        assert await connection.scalar(text("SELECT count(*) FROM topics")) == 3


async def test_without_topics_the_list_says_why(
    client: httpx.AsyncClient, database: Database, owner: str, model_id: int
) -> None:
    page = (await client.get("/topics")).json()
    assert page["note"] == "Topics need 20 embedded interactions; casiopy has 0."
    persona = await persona_of(database, owner)
    await store(database, owner, persona, model_id, 10)
    assert (await client.get("/topics")).json()["note"].startswith("None found yet. POST /topics/refresh")


async def test_a_refresh_is_queued_once(
    client: httpx.AsyncClient, database: Database, owner: str, model_id: int
) -> None:
    persona = await persona_of(database, owner)
    await store(database, owner, persona, model_id, 10)
    answers = [await client.post("/topics/refresh") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert [answer.json()["status"] for answer in answers] == ["queued", "already queued"]
    async with database.unowned() as connection:
        payloads = (
            await connection.scalars(text("SELECT payload FROM pgqueuer WHERE entrypoint = 'refresh_topics'"))
        ).all()
    payload = next(one for one in payloads if str(persona).encode() in one)
    await refresh_job(database, payload)
    assert (await client.get("/topics")).json()["total"] == 3


async def test_topics_of_an_erased_persona_are_no_error(database: Database, owner: str) -> None:
    assert await refresh(database, owner, uuid4()) == 0
