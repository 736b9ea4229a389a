"""Two owners, each with a row in every table that belongs to one."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import pytest
from memory_service.ids import make_id
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

# One row a table, parents first. `secret` stands in every text, so a leak can be seen in any answer.
ROWS = {
    "api_keys": "(id, owner_id, key_hash) VALUES (:api_key, :owner, :key_hash)",
    "personas": "(id, owner_id, slug, name) VALUES (:persona, :owner, 'casiopy', :secret)",
    "core_memory": "(id, owner_id, persona_id, category, key, value, is_mutable) "
    "VALUES (:entry, :owner, :persona, 'like', 'secret', :secret, true)",
    "users": "(owner_id, id) VALUES (:owner, :user)",
    "sessions": "(id, owner_id, persona_id, user_id) VALUES (:session, :owner, :persona, :user)",
    "interactions": "(id, owner_id, persona_id, session_id, user_id, input_text, output_text, quality_score, quality, "
    "content_hash) VALUES (:interaction, :owner, :persona, :session, :user, :secret, :secret, 0.9, "
    """'{"score": 0.9, "drops": [], "signals": [], "scorer_version": "x"}', 'h')""",
    "session_summaries": "(session_id, owner_id, text, written_by) VALUES (:session, :owner, :secret, 'operator')",
    "memories": "(id, owner_id, user_id, type, content) VALUES (:memory, :owner, :user, 'fact', :secret)",
    "embeddings": "(owner_id, user_id, document_id, model_id, embedding) "
    "SELECT :owner, :user, id, :model, '[1,0]'::halfvec FROM recall_documents WHERE interaction_id = :interaction",
    "feedback": "(id, owner_id, interaction_id, rating, comment) VALUES (:feedback, :owner, :interaction, 5, :secret)",
    "topics": "(id, owner_id, persona_id, label, keywords) VALUES (:topic, :owner, :persona, :secret, ARRAY[:secret])",
    "interaction_topics": "(interaction_id, topic_id, owner_id, similarity) VALUES (:interaction, :topic, :owner, 0.5)",
    "training_exports": "(id, owner_id, persona_id, export_id, type, format, dataset_sha256, manifest) "
    "VALUES (:export, :owner, :persona, :export_name, 'personality', 'chatml', 'x', cast(:dataset AS jsonb))",
    "training_export_rows": "(training_export_id, interaction_id, owner_id, row_number, split, content_hash) "
    "VALUES (:export, :interaction, :owner, 0, 'train', 'h')",
    "training_export_sources": "(training_export_id, source_id, owner_id) VALUES (:export, :memory, :owner)",
    "lora_versions": "(id, owner_id, persona_id, adapter_id, layer, export_id, weights_sha256, manifest) "
    "VALUES (:adapter, :owner, :persona, :adapter_name, 1, :export_name, 'x', cast(:recipe AS jsonb))",
    "deployments": "(id, owner_id, lora_version_id, tag, host, live) "
    "VALUES (:deployment, :owner, :adapter, :secret, 'h', true)",
    "idempotent_requests": "(owner_id, key, request_hash, status, body) VALUES (:owner, :secret, 'h', 200, 'b')",
}
_IDS = "api_key persona entry session interaction memory feedback topic export adapter deployment"  # one UUID each


@dataclass(frozen=True)
class Tenant:
    """An owner, the key that proves it, and the values its rows are made of."""

    owner: str
    key: str
    values: dict[str, Any]

    @property
    def secret(self) -> str:
        """A word that stands in this owner's rows and nowhere else."""
        return str(self.values["secret"])

    @property
    def headers(self) -> dict[str, str]:
        """What a client of this owner sends."""
        return {"Authorization": f"Bearer {self.key}"}


def _dataset(export_id: str) -> dict[str, Any]:
    return {
        "schema": "casiopy/dataset-v1",
        "export_id": export_id,
        "type": "personality",
        "format": "chatml",
        "dataset_sha256": "x",
        "created_at": "2026-01-05T20:00:00Z",
        "week": None,
        "filters": {},
        "funnel": [],
        "splits": {},
        "exchanges": 1,
    }


def _tenant(name: str, model: int) -> Tenant:
    word = f"{name}{uuid4().hex[:12]}"
    ids: dict[str, UUID] = {one: make_id() for one in _IDS.split()}
    names: dict[str, object] = {
        "owner": word,
        "secret": f"secreto{word}",
        "user": f"viewer-secreto{word}",
        "model": model,
    }
    names |= {"export_name": f"personality-{word}", "adapter_name": f"personality-{word}"}
    names |= {"dataset": json.dumps(_dataset(str(names["export_name"])))}
    names |= {"recipe": json.dumps({"base_model": {}, "dataset": {}, "result": {}, "week": None, "parent": None})}
    key = f"key-{word}"
    return Tenant(word, key, {**ids, **names, "key_hash": sha256(key.encode()).digest()})


@pytest.fixture
async def tenants(superuser: AsyncEngine) -> AsyncIterator[tuple[Tenant, Tenant]]:
    """Two owners with everything; gone after the test."""
    model = text(
        "INSERT INTO embedding_models (name, dimension) VALUES ('tiny', 2) ON CONFLICT (name, revision) "
        "DO UPDATE SET dimension = 2 RETURNING id"
    )
    async with superuser.begin() as connection:
        number = int(await connection.scalar(model) or 0)
        made = (_tenant("mine", number), _tenant("theirs", number))
        for tenant in made:
            await connection.execute(text("INSERT INTO owners (id) VALUES (:owner)"), tenant.values)
            for table, columns in ROWS.items():
                await connection.execute(text(f"INSERT INTO {table} {columns}"), tenant.values)
            document = text("SELECT id FROM recall_documents WHERE interaction_id = :interaction")
            tenant.values["document"] = await connection.scalar(document, tenant.values)
    yield made
    async with superuser.begin() as connection:
        for tenant in made:
            await connection.execute(text("DELETE FROM owners WHERE id = :owner"), tenant.values)
