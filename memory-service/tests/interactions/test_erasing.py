"""Erasing an exchange marks what learned from it, however far down the chain."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from memory_service.ids import make_id
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

Post = Callable[..., Awaitable[dict[str, Any]]]

# Adapter → (its dataset, the dataset it replays, its parent).
ADAPTERS: dict[str, tuple[str | None, str | None, str | None]] = {
    "own dataset": ("holds it", None, None),
    "replayed": ("does not", "holds it", None),
    "child": ("does not", None, "own dataset"),
    "grandchild": (None, None, "child"),
    "stranger": ("does not", "does not", None),
    "child of a stranger": (None, None, "stranger"),
}


@pytest.fixture
async def chain(superuser: AsyncEngine, owner: str, open_session: Post, tell: Post) -> tuple[str, str]:
    """Two exchanges, a dataset each ("holds it", "does not"), and adapters that learned from them; the exchanges' ids."""
    session = await open_session()
    first, second = (await tell(session))["id"], (await tell(session))["id"]
    async with superuser.begin() as connection:
        persona = await connection.scalar(text("SELECT id FROM personas WHERE owner_id = :owner"), {"owner": owner})
        for name, interaction in (("holds it", first), ("does not", second)):
            values = {
                "id": make_id(),
                "owner": owner,
                "persona": persona,
                "name": name,
                "interaction": UUID(interaction),
            }
            for statement in (
                "INSERT INTO training_exports (id, owner_id, persona_id, export_id, type, format, dataset_sha256, manifest) "
                "VALUES (:id, :owner, :persona, :name, 'personality', 'chatml', 'x', '{}')",
                "INSERT INTO training_export_rows (training_export_id, interaction_id, owner_id, row_number, split, "
                "content_hash) VALUES (:id, :interaction, :owner, 0, 'train', 'h')",
            ):
                await connection.execute(text(statement), values)
        for name, (export, replayed, parent) in ADAPTERS.items():
            values = {
                "id": make_id(),
                "owner": owner,
                "persona": persona,
                "name": name,
                "export": export,
                "parent": parent,
            }
            await connection.execute(
                text(
                    "INSERT INTO lora_versions (id, owner_id, persona_id, adapter_id, layer, export_id, parent_adapter_id, "
                    "weights_sha256, manifest) VALUES (:id, :owner, :persona, :name, 1, :export, :parent, 'x', "
                    "jsonb_build_object('replay', CASE WHEN cast(:replayed AS text) IS NULL THEN '[]'::jsonb "
                    "ELSE jsonb_build_array(jsonb_build_object('export_id', cast(:replayed AS text))) END))"
                ),
                {**values, "replayed": replayed},
            )
    return first, second


async def _tainted(superuser: AsyncEngine, owner: str) -> dict[str, Any]:
    async with superuser.connect() as connection:
        rows = await connection.execute(
            text(
                "SELECT export_id AS name, tainted_at FROM training_exports WHERE owner_id = :owner UNION ALL "
                "SELECT adapter_id, tainted_at FROM lora_versions WHERE owner_id = :owner"
            ),
            {"owner": owner},
        )
        return {row.name: row.tainted_at for row in rows if row.tainted_at is not None}


async def test_what_learned_from_it_is_tainted_and_nothing_else(
    client: httpx.AsyncClient, superuser: AsyncEngine, owner: str, chain: tuple[str, str]
) -> None:
    held, other = chain
    assert await _tainted(superuser, owner) == {}
    assert (await client.delete(f"/interactions/{held}")).status_code == 204
    marked = await _tainted(superuser, owner)
    assert set(marked) == {"holds it", "own dataset", "replayed", "child", "grandchild"}
    await client.delete(f"/interactions/{other}")
    again = await _tainted(superuser, owner)
    assert set(again) == {"holds it", "does not", *ADAPTERS}
    assert {name: again[name] for name in marked} == marked
