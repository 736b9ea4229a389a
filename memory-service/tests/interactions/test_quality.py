"""A human's score goes over the scorer's, whose reasons stay."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from memory_service.db import Database
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

Post = Callable[..., Awaitable[dict[str, Any]]]

REFUSAL = "Lo siento, como modelo de lenguaje no puedo ayudarte con eso."


@pytest.mark.parametrize("score", [0, 0.0, 0.37, 1, 1.0])
async def test_the_human_score_is_kept_beside_the_breakdown(
    client: httpx.AsyncClient, open_session: Post, tell: Post, score: float
) -> None:
    stored = await tell(await open_session())
    changed = (await client.put(f"/interactions/{stored['id']}/quality", json={"quality_score": score})).json()
    assert changed == stored | {"quality_score": float(score), "quality_source": "human"}
    assert changed["quality"]["score"] == stored["quality_score"]
    assert (await client.get(f"/interactions/{stored['id']}")).json() == changed


@pytest.mark.parametrize(("score", "still_dropped"), [(0.0, True), (0.49, True), (0.5, False), (1.0, False)])
async def test_only_praise_lifts_a_drop(
    client: httpx.AsyncClient, open_session: Post, tell: Post, score: float, still_dropped: bool
) -> None:
    stored = await tell(await open_session(), output_text=REFUSAL)
    assert stored["quality"]["drops"]
    for value in (1.0, score):
        changed = await client.put(f"/interactions/{stored['id']}/quality", json={"quality_score": value})
        assert changed.json()["quality"] == stored["quality"]
    dropped = (await client.get("/interactions", params={"dropped": "true"})).json()["total"]
    assert dropped == int(still_dropped)


@pytest.mark.parametrize("body", [{}, {"quality_score": -0.01}, {"quality_score": 1.01}, {"quality_score": "high"}, []])
async def test_bad_scores(client: httpx.AsyncClient, open_session: Post, tell: Post, body: object) -> None:
    stored = await tell(await open_session())
    answer = await client.put(f"/interactions/{stored['id']}/quality", json=body)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert (await client.get(f"/interactions/{stored['id']}")).json() == stored


async def test_not_a_number_is_no_score(client: httpx.AsyncClient, open_session: Post, tell: Post) -> None:
    stored = await tell(await open_session())
    answer = await client.put(
        f"/interactions/{stored['id']}/quality",
        content='{"quality_score": NaN}',
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 400


_JOBS = text("SELECT count(*) FROM pgqueuer WHERE convert_from(payload, 'UTF8') LIKE '%' || :id || '%'")
# As if the worker had been there: a vector of a model that any owner may use, and the job done.
_MODEL = text("""
    INSERT INTO embedding_models (name, revision, dimension) VALUES ('tiny', :revision, 2) RETURNING id
""")
_EMBEDDED = text("""
    WITH made AS (INSERT INTO embeddings (owner_id, user_id, document_id, model_id, embedding)
                  SELECT owner_id, user_id, id, :model, '[1,0]' FROM recall_documents
                  RETURNING document_id)
    UPDATE interactions SET embedding_status = 'done' FROM made
    JOIN recall_documents ON recall_documents.id = made.document_id WHERE interactions.id = interaction_id
""")


@pytest.mark.parametrize("rated", [False, True])
async def test_what_counts_again_waits_for_vectors_with_its_reply(
    client: httpx.AsyncClient,
    open_session: Post,
    tell: Post,
    database: Database,
    superuser: AsyncEngine,
    owner: str,
    rated: bool,
) -> None:
    session = await open_session()
    refused, fine = await tell(session, output_text=REFUSAL), await tell(session)
    async with superuser.begin() as connection:
        model = await connection.scalar(_MODEL, {"revision": owner})
        await connection.execute(text("DELETE FROM pgqueuer"))
    async with database.transaction(owner) as connection:
        await connection.execute(_EMBEDDED, {"model": model})
    for one in (refused, fine):
        for _ in range(2):  # the second time nothing changes
            if rated:
                await client.post(f"/interactions/{one['id']}/feedback", json={"rating": 5})
            else:
                await client.put(f"/interactions/{one['id']}/quality", json={"quality_score": 0.9})
    async with database.transaction(owner) as connection:
        left = "SELECT interaction_id::text FROM recall_documents JOIN embeddings ON document_id = recall_documents.id"
        assert (await connection.scalars(text(left))).all() == [fine["id"]]
        assert [await connection.scalar(_JOBS, {"id": one["id"]}) for one in (refused, fine)] == [1, 0]
    kept = [(await client.get(f"/interactions/{one['id']}")).json()["embedding_status"] for one in (refused, fine)]
    assert kept == ["pending", "done"]
