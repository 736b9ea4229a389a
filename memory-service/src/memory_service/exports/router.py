"""/exports: make a dataset, list, show its manifest, fetch its rows."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from memory_service.exports import repository, service
from memory_service.exports.schemas import ExportCreate, ExportSummary
from memory_service.models import TrainingExport
from memory_service.paging import Page, Paging, fetch_page
from memory_service.personas.service import resolve
from memory_service.unit_of_work import OwnerId, Transaction, TransactionalRoute

router = APIRouter(prefix="/exports", tags=["exports"], route_class=TransactionalRoute)

NDJSON = "application/x-ndjson"


@router.post("", status_code=201, responses={200: {"description": "The very same dataset was exported before."}})
async def create_export(
    wanted: ExportCreate, request: Request, response: Response, connection: Transaction, owner: OwnerId
) -> dict[str, Any]:
    """Select, redact, split and describe a dataset; answers with its manifest.

    Only with consent of session and viewer, never without redaction. `exports/schema/dataset-v1.schema.json` describes
    the manifest.
    """
    persona = await resolve(connection, owner, wanted.persona, request.app.state.settings.default_persona)
    manifest, fresh = await service.create(connection, owner, persona, wanted)
    if not fresh:
        response.status_code = 200
    return manifest


@router.get("")
async def list_exports(connection: Transaction, paging: Paging) -> Page[ExportSummary]:
    """Datasets handed out, newest first, without their lists of rows."""
    order = [TrainingExport.__table__.c.id]
    rows, total, cursor = await fetch_page(connection, repository.summaries(), order, paging, descending=True)
    items = [ExportSummary.model_validate({**row.summary, "tainted_at": row.tainted_at}) for row in rows]
    return Page(items=items, total=total, next_cursor=cursor)


@router.get("/{export_id}")
async def get_export(export_id: str, connection: Transaction) -> dict[str, Any]:
    """The manifest."""
    return await service.get(connection, export_id)


@router.get(
    "/{export_id}/rows",
    response_class=Response,
    responses={200: {"content": {NDJSON: {}}, "description": "The file of the split, one row a line."}},
)
async def get_rows(
    export_id: str,
    connection: Transaction,
    split: Annotated[Literal["train", "val"], Query(description="Which file.")] = "train",
) -> Response:
    """The rows of one split, byte for byte what the manifest's hash pins; 409 when that is no longer possible."""
    return Response(await service.rows(connection, export_id, split), media_type=NDJSON)
