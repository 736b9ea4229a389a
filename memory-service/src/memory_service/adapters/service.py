"""Registering adapters, keeping the gate's word on them and where they serve, and following lineage."""

from typing import Any
from uuid import UUID

from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.adapters import repository
from memory_service.adapters.schemas import (
    AdapterDetail,
    AdapterManifest,
    DeploymentCreate,
    DeploymentItem,
    GateReport,
    Lineage,
)
from memory_service.errors import Conflict, NotFound
from memory_service.personas.service import CurrentPersona


async def register(
    connection: AsyncConnection, owner: str, persona: CurrentPersona, manifest: AdapterManifest
) -> tuple[AdapterDetail, bool]:
    """Store an adapter; the second value says whether it is a new one.

    Registering it again changes nothing but the manifest. One that learned from an export that was tainted meanwhile is
    tainted from the start.

    Raises:
        Conflict: the id belongs to other weights.
    """
    document = manifest.model_dump(mode="json", by_alias=True)
    fresh = await repository.register(connection, owner, persona.id, document)
    if not fresh:
        known = await _found(connection, manifest.adapter_id)
        if known.weights_sha256 != manifest.weights.sha256:
            raise Conflict(
                f"Adapter {manifest.adapter_id} is registered with other weights ({known.weights_sha256[:12]}…). "
                "Every training run makes a new adapter id; do not reuse one."
            )
        await repository.replace_manifest(connection, manifest.adapter_id, document)
    await repository.inherit_taint(connection, manifest.adapter_id)
    return await get(connection, manifest.adapter_id), fresh


async def get(connection: AsyncConnection, adapter_id: str) -> AdapterDetail:
    """One adapter with its documents and deployments. Raises NotFound."""
    row = await _found(connection, adapter_id)
    deployments = await repository.deployments_of(connection, adapter_id)
    return AdapterDetail.model_validate({**row._mapping, "deployments": [_deployment(item) for item in deployments]})


async def judge(connection: AsyncConnection, adapter_id: str, report: GateReport) -> AdapterDetail:
    """Keep the gate's report on an adapter; the last one counts.

    Raises:
        NotFound: no such adapter. Conflict: the report is about another adapter or other weights.
    """
    known = await _found(connection, adapter_id)
    candidate = report.candidate
    if candidate.adapter_id not in (None, adapter_id):
        raise Conflict(f"This report is about adapter {candidate.adapter_id}, not {adapter_id}. Post it there.")
    if candidate.weights_sha256 not in (None, known.weights_sha256):
        raise Conflict(
            f"This report judged other weights ({candidate.weights_sha256[:12]}…) than those registered as {adapter_id}. "
            "Run the gate on the registered adapter."
        )
    await repository.judge(connection, adapter_id, report.model_dump(mode="json", by_alias=True))
    return await get(connection, adapter_id)


async def deploy(connection: AsyncConnection, owner: str, adapter_id: str, wanted: DeploymentCreate) -> DeploymentItem:
    """Record where an adapter serves.

    Raises:
        NotFound: no such adapter. Conflict: it is tainted, so it must not serve (again).
    """
    known = await _found(connection, adapter_id)
    if known.tainted_at is not None:
        raise Conflict(
            f"Adapter {adapter_id} learned from exchanges that were erased on {known.tainted_at:%Y-%m-%d} and must not be "
            "deployed. Export again and retrain."
        )
    at = await repository.now(connection)
    deployment_id = await repository.deploy(connection, owner, known.id, wanted.model_dump(mode="json"), at)
    return _deployment(await repository.deployment(connection, deployment_id))


async def lineage_of_interaction(connection: AsyncConnection, interaction_id: UUID) -> Lineage:
    """Every dataset, adapter and deployment that has something of this exchange in it. Raises NotFound."""
    chain = Lineage.model_validate(dict((await repository.lineage_of_interaction(connection, interaction_id))._mapping))
    if not chain.interactions:
        raise NotFound(f"No interaction has the id {interaction_id}, and no dataset ever held it.")
    return chain


async def lineage_of_adapter(connection: AsyncConnection, adapter_id: str) -> Lineage:
    """Every exchange, dataset and parent an adapter learned from, and where it serves. Raises NotFound."""
    await _found(connection, adapter_id)
    return Lineage.model_validate(dict((await repository.lineage_of_adapter(connection, adapter_id))._mapping))


async def _found(connection: AsyncConnection, adapter_id: str) -> Row[Any]:
    row = await repository.find(connection, adapter_id)
    if row is None:
        raise NotFound(f"No adapter has the id {adapter_id!r}. Register it with POST /adapters.")
    return row


def _deployment(row: Row[Any]) -> DeploymentItem:
    return DeploymentItem.model_validate(row)
