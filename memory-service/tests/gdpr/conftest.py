"""A viewer with something in every table, beside another one and another owner's viewer of the same name."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from memory_service.ids import make_id
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

Post = Callable[..., Awaitable[dict[str, Any]]]


@dataclass
class Viewer:
    """Whose data it is, a word that stands in all of it, and the ids of what was stored."""

    owner: str
    id: str
    secret: str
    sessions: list[str] = field(default_factory=list)
    interactions: list[str] = field(default_factory=list)


async def run(superuser: AsyncEngine, statement: str, **values: Any) -> Any:
    """Execute a statement past row-level security; its first value, if it has one."""
    async with superuser.begin() as connection:
        result = await connection.execute(text(statement), values)
        return result.scalar() if result.returns_rows else None


@pytest.fixture
def settle_in(client: httpx.AsyncClient, superuser: AsyncEngine, owner: str, open_session: Post, tell: Post) -> Any:
    """Gives a viewer sessions, exchanges, memories, feedback, a summary, vectors, a topic and remembered answers."""

    async def settle(user_id: str, *, exchanges: int = 2) -> Viewer:
        viewer = Viewer(owner, user_id, f"secreto{uuid4().hex[:12]}")
        secret = viewer.secret
        session = await open_session(user_id, metadata={"display_name": secret})
        viewer.sessions.append(session["id"])
        for _ in range(exchanges):
            stored = await tell(session, input_text=f"Mi clave es {secret}", output_text=f"¿{secret}? Anotado.")
            viewer.interactions.append(stored["id"])
        first = viewer.interactions[0]
        opinion = {"rating": 5, "comment": secret, "corrected_output": secret, "user_id": user_id}
        (await client.post(f"/interactions/{first}/feedback", json=opinion)).raise_for_status()
        for value in ("old", "new"):
            memory = {
                "user_id": user_id,
                "content": f"{secret} {value}",
                "type": "fact",
                "key": "word",
                "value": secret,
            }
            headers = {"Idempotency-Key": f"{secret}-{value}"}
            (await client.post("/memory", json=memory, headers=headers)).raise_for_status()
        gone = {"user_id": user_id, "content": f"{secret} gone", "type": "event", "metadata": {"a": secret}}
        forgotten = (await client.post("/memory", json=gone)).json()["id"]
        (await client.delete(f"/memory/{forgotten}/soft")).raise_for_status()
        await _beside_the_api(superuser, viewer)
        return viewer

    return settle


async def _beside_the_api(superuser: AsyncEngine, viewer: Viewer) -> None:
    """What only background work and training write."""
    persona = await run(superuser, "SELECT id FROM personas WHERE owner_id = :owner LIMIT 1", owner=viewer.owner)
    model = await run(
        superuser,
        "INSERT INTO embedding_models (name, dimension) VALUES ('tiny', 2) ON CONFLICT (name, revision) "
        "DO UPDATE SET dimension = 2 RETURNING id",
    )
    values = {
        "owner": viewer.owner,
        "user": viewer.id,
        "persona": persona,
        "model": model,
        "first": UUID(viewer.interactions[0]),
        "session": UUID(viewer.sessions[0]),
        "secret": viewer.secret,
        "topic": make_id(),
        "export": make_id(),
        "adapter": make_id(),
        "name": f"dataset-{make_id()}",
    }
    for statement in (
        "INSERT INTO session_summaries (session_id, owner_id, text, written_by) "
        "VALUES (:session, :owner, :secret, 'operator')",
        "INSERT INTO embeddings (owner_id, user_id, document_id, model_id, embedding) "
        "SELECT :owner, :user, id, :model, CASE WHEN memory_id IS NULL THEN '[1,0.5]' ELSE '[0,1]' END::halfvec "
        "FROM recall_documents WHERE owner_id = :owner AND user_id = :user",
        "INSERT INTO topics (id, owner_id, persona_id, label, keywords) "
        "VALUES (:topic, :owner, :persona, :secret, ARRAY[:secret])",
        "INSERT INTO interaction_topics (interaction_id, topic_id, owner_id, similarity) "
        "VALUES (:first, :topic, :owner, 0.5)",
        "INSERT INTO training_exports (id, owner_id, persona_id, export_id, type, format, dataset_sha256, manifest) "
        "VALUES (:export, :owner, :persona, :name, 'personality', 'chatml', 'x', '{}')",
        "INSERT INTO training_export_rows (training_export_id, interaction_id, owner_id, row_number, split, content_hash) "
        "VALUES (:export, :first, :owner, 0, 'train', 'h')",
        "INSERT INTO lora_versions (id, owner_id, persona_id, adapter_id, layer, export_id, weights_sha256, manifest) "
        "VALUES (:adapter, :owner, :persona, 'from ' || :name, 1, :name, 'x', '{\"replay\": []}')",
        "INSERT INTO deployments (id, owner_id, lora_version_id, tag, host, live) "
        "VALUES (gen_random_uuid(), :owner, :adapter, 'tag-' || :name, 'h', true)",
    ):
        bound = {name: value for name, value in values.items() if f":{name}" in statement}
        await run(superuser, statement, **bound)
