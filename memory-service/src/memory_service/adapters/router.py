"""/adapters, /deployments and /lineage."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from memory_service.adapters import repository, service
from memory_service.adapters.schemas import (
    AdapterDetail,
    AdapterItem,
    AdapterManifest,
    DeploymentCreate,
    DeploymentItem,
    GateReport,
    Lineage,
)
from memory_service.models import Deployment, LoraVersion
from memory_service.paging import Page, Paging, fetch_page
from memory_service.personas.service import resolve
from memory_service.unit_of_work import OwnerId, Transaction, TransactionalRoute

router = APIRouter(tags=["adapters"], route_class=TransactionalRoute)


@router.post("/adapters", status_code=201, responses={200: {"description": "It was registered before."}})
async def register_adapter(
    manifest: AdapterManifest, request: Request, response: Response, connection: Transaction, owner: OwnerId
) -> AdapterDetail:
    """Register a finished adapter by its manifest (`lora_adapters/schema/adapter-v1.schema.json`)."""
    default = request.app.state.settings.default_persona
    persona = await resolve(connection, owner, manifest.persona, default)
    adapter, fresh = await service.register(connection, owner, persona, manifest)
    if not fresh:
        response.status_code = 200
    return adapter


@router.get("/adapters")
async def list_adapters(connection: Transaction, paging: Paging) -> Page[AdapterItem]:
    """Adapters, newest first."""
    order = [LoraVersion.__table__.c.id]
    rows, total, cursor = await fetch_page(connection, repository.adapters(), order, paging, descending=True)
    return Page(items=[AdapterItem.model_validate(row) for row in rows], total=total, next_cursor=cursor)


@router.get("/adapters/{adapter_id}")
async def get_adapter(adapter_id: str, connection: Transaction) -> AdapterDetail:
    """An adapter with its manifest, the gate's report and its deployments."""
    return await service.get(connection, adapter_id)


@router.post("/adapters/{adapter_id}/report", status_code=201)
async def report_on_adapter(adapter_id: str, report: GateReport, connection: Transaction) -> AdapterDetail:
    """Keep the gate's report (`lora_adapters/schema/report-v1.schema.json`); the last one counts."""
    return await service.judge(connection, adapter_id, report)


@router.post("/adapters/{adapter_id}/deployments", status_code=201)
async def deploy_adapter(
    adapter_id: str, wanted: DeploymentCreate, connection: Transaction, owner: OwnerId
) -> DeploymentItem:
    """Record that the adapter serves under a tag; 409 for one that holds erased exchanges."""
    return await service.deploy(connection, owner, adapter_id, wanted)


@router.get("/deployments")
async def list_deployments(connection: Transaction, paging: Paging) -> Page[DeploymentItem]:
    """Deployments, newest first."""
    order = [Deployment.__table__.c.id]
    rows, total, cursor = await fetch_page(connection, repository.deployments(), order, paging, descending=True)
    return Page(items=[DeploymentItem.model_validate(row) for row in rows], total=total, next_cursor=cursor)


@router.get("/lineage/interaction/{interaction_id}", tags=["lineage"])
async def lineage_of_interaction(interaction_id: UUID, connection: Transaction) -> Lineage:
    """Everything that learned from an exchange: datasets, adapters (also those trained on top), deployments."""
    return await service.lineage_of_interaction(connection, interaction_id)


@router.get("/lineage/adapter/{adapter_id}", tags=["lineage"])
async def lineage_of_adapter(adapter_id: str, connection: Transaction) -> Lineage:
    """Everything an adapter learned from: its parents, their datasets (replay included), every exchange in them."""
    return await service.lineage_of_adapter(connection, adapter_id)
