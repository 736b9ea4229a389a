"""Reads and writes `lora_versions` and `deployments`; the lineage statements are in lineage.sql."""

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.ids import make_id
from memory_service.models import Deployment, LoraVersion, Persona

_STATEMENTS = re.split(
    r"^-- (?=from_(?:interaction|adapter):)",
    Path(__file__).with_name("lineage.sql").read_text(encoding="utf-8"),
    flags=re.MULTILINE,
)
# An adapter that is registered after an erasure and learned from what was erased, or stands on an adapter that did, is
# marked like those that were there at the time. The first mark stays.
_INHERIT_TAINT = text("""
    UPDATE lora_versions AS fresh
    SET tainted_at = least(
        (SELECT min(e.tainted_at) FROM training_exports AS e
         WHERE e.export_id = fresh.export_id
            OR e.export_id IN (
                SELECT replayed ->> 'export_id' FROM jsonb_array_elements(fresh.manifest -> 'replay') AS replayed)),
        (SELECT parent.tainted_at FROM lora_versions AS parent WHERE parent.adapter_id = fresh.parent_adapter_id)
    )
    WHERE fresh.adapter_id = :adapter_id AND fresh.tainted_at IS NULL
""")
_LINEAGE = {part.partition(":")[0]: text(part[part.index("WITH") :]) for part in _STATEMENTS[1:]}


def adapters() -> Select[Any]:
    """Statement for adapters as lists show them."""
    manifest = LoraVersion.manifest
    columns: tuple[Any, ...] = (
        LoraVersion.id,
        LoraVersion.adapter_id,
        LoraVersion.layer,
        Persona.slug.label("persona"),
        LoraVersion.status,
        LoraVersion.verdict,
        LoraVersion.export_id,
        LoraVersion.weights_sha256,
        LoraVersion.created_at,
        LoraVersion.tainted_at,
        *(manifest[key].label(key) for key in ("week", "base_model", "parent", "dataset", "result")),
    )
    return select(*columns).join(Persona, Persona.id == LoraVersion.persona_id)


def with_documents() -> Select[Any]:
    """The same with the whole manifest and report."""
    return adapters().add_columns(LoraVersion.manifest, LoraVersion.report)


async def find(connection: AsyncConnection, adapter_id: str) -> Row[Any] | None:
    """One adapter with its documents."""
    statement = with_documents().where(LoraVersion.adapter_id == adapter_id)
    row: Row[Any] | None = (await connection.execute(statement)).one_or_none()
    return row


async def register(connection: AsyncConnection, owner: str, persona_id: UUID, manifest: dict[str, Any]) -> bool:
    """Store an adapter; False when its id is taken."""
    parent = manifest["parent"]
    row = {
        "id": make_id(),
        "owner_id": owner,
        "persona_id": persona_id,
        "adapter_id": manifest["adapter_id"],
        "layer": manifest["layer"],
        "parent_adapter_id": parent and parent["adapter_id"],
        "export_id": manifest["dataset"]["export_id"],
        "weights_sha256": manifest["weights"]["sha256"],
        "manifest": manifest,
    }
    statement = insert(LoraVersion).values(row).on_conflict_do_nothing().returning(LoraVersion.id)
    return await connection.scalar(statement) is not None


async def replace_manifest(connection: AsyncConnection, adapter_id: str, manifest: dict[str, Any]) -> None:
    """Keep the newest manifest of an adapter whose weights are the same."""
    statement = update(LoraVersion).where(LoraVersion.adapter_id == adapter_id)
    await connection.execute(statement.values(manifest=manifest, export_id=manifest["dataset"]["export_id"]))


async def inherit_taint(connection: AsyncConnection, adapter_id: str) -> None:
    """Mark an adapter that learned from something erased before it was registered."""
    await connection.execute(_INHERIT_TAINT, {"adapter_id": adapter_id})


async def judge(connection: AsyncConnection, adapter_id: str, report: dict[str, Any]) -> None:
    """Keep the gate's report; an adapter that is serving stays `deployed`."""
    statement = update(LoraVersion).where(LoraVersion.adapter_id == adapter_id)
    await connection.execute(statement.values(report=report, verdict=report["verdict"]))
    await connection.execute(statement.where(LoraVersion.status == "trained").values(status="evaluated"))


async def deploy(
    connection: AsyncConnection, owner: str, version_id: UUID, values: dict[str, Any], at: datetime
) -> UUID:
    """Record a deployment. A live one retires what served on that host under that tag before."""
    if values["live"]:
        await _retire(connection, values["tag"], values["host"], at)
    row = {"id": make_id(), "owner_id": owner, "lora_version_id": version_id, "deployed_at": at, **values}
    await connection.execute(insert(Deployment).values(row))
    if values["live"]:
        await connection.execute(update(LoraVersion).where(LoraVersion.id == version_id).values(status="deployed"))
    deployment_id: UUID = row["id"]
    return deployment_id


async def _retire(connection: AsyncConnection, tag: str, host: str, at: datetime) -> None:
    serving = and_(Deployment.live, Deployment.retired_at.is_(None))
    statement = update(Deployment).where(serving, Deployment.tag == tag, Deployment.host == host).values(retired_at=at)
    retired = list(await connection.scalars(statement.returning(Deployment.lora_version_id)))
    still = select(Deployment.id).where(serving, Deployment.lora_version_id == LoraVersion.id).exists()
    versions = update(LoraVersion).where(LoraVersion.id.in_(retired), ~still)
    await connection.execute(versions.values(status="retired"))


def deployments() -> Select[Any]:
    """Statement for deployments as the API shows them."""
    columns: tuple[Any, ...] = (
        Deployment.id,
        LoraVersion.adapter_id,
        Deployment.tag,
        Deployment.host,
        and_(Deployment.live, Deployment.retired_at.is_(None)).label("live"),
        Deployment.smoke,
        Deployment.deployed_at,
        Deployment.retired_at,
    )
    return select(*columns).join(LoraVersion, LoraVersion.id == Deployment.lora_version_id)


async def deployments_of(connection: AsyncConnection, adapter_id: str) -> Sequence[Row[Any]]:
    """An adapter's deployments, newest first."""
    statement = deployments().where(LoraVersion.adapter_id == adapter_id).order_by(Deployment.id.desc())
    rows: Sequence[Row[Any]] = (await connection.execute(statement)).all()
    return rows


async def deployment(connection: AsyncConnection, deployment_id: UUID) -> Row[Any]:
    """One deployment."""
    row: Row[Any] = (await connection.execute(deployments().where(Deployment.id == deployment_id))).one()
    return row


async def lineage_of_interaction(connection: AsyncConnection, interaction_id: UUID) -> Row[Any]:
    """What learned from an interaction, in one statement."""
    return (await connection.execute(_LINEAGE["from_interaction"], {"interaction_id": interaction_id})).one()


async def lineage_of_adapter(connection: AsyncConnection, adapter_id: str) -> Row[Any]:
    """What an adapter learned from, in one statement."""
    return (await connection.execute(_LINEAGE["from_adapter"], {"adapter_id": adapter_id})).one()


async def now(connection: AsyncConnection) -> datetime:
    """The database's clock: several services must agree on what came after what."""
    moment = await connection.scalar(select(func.clock_timestamp()))
    if not isinstance(moment, datetime):
        raise TypeError("clock_timestamp() gave no timestamp")
    return moment
