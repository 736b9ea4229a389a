"""/exports: make a dataset, list, show its manifest, fetch its rows."""

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from memory_service.errors import ErrorBody
from memory_service.exports import giving, repository, service
from memory_service.exports.schemas import ExportCreate, ExportSummary
from memory_service.models import TrainingExport
from memory_service.paging import Page, Paging, fetch_page
from memory_service.unit_of_work import OwnedRoute, OwnerId

# Making and giving out datasets takes as long as they are large: no transaction is open all that time.
router = APIRouter(prefix="/exports", tags=["exports"], route_class=OwnedRoute)

NDJSON, JSON = "application/x-ndjson", "application/json"
# Up to here an answer is sent whole (some megabytes), and repeated under its Idempotency-Key; beyond, it is streamed.
_WHOLE = 10_000
_FROM = re.compile(r"bytes=(\d{1,18})-")
WithRows = Annotated[bool, Query(description="Whether the manifest lists its exchanges (`rows`).")]


@router.post(
    "",
    status_code=201,
    response_model=dict[str, Any],
    responses={200: {"description": "The very same dataset was exported before."}},
)
async def create_export(wanted: ExportCreate, request: Request, owner: OwnerId, rows: WithRows = True) -> Response:
    """Select, redact, split and describe a dataset; answers with its manifest.

    Only with consent of session and viewer, never without redaction. `exports/schema/dataset-v1.schema.json` describes
    the manifest. The answer comes when everything is selected: minutes for a hundred thousand exchanges.
    """
    state = request.app.state
    head, fresh = await service.create(state.database, owner, wanted, state.settings.default_persona)
    return await _manifest(request, owner, head, rows=rows, status=201 if fresh else 200)


@router.get("")
async def list_exports(request: Request, owner: OwnerId, paging: Paging) -> Page[ExportSummary]:
    """Datasets handed out, newest first, without their lists of rows."""
    order = [TrainingExport.__table__.c.id]
    async with request.app.state.database.transaction(owner) as connection:
        rows, total, cursor = await fetch_page(connection, repository.summaries(), order, paging, descending=True)
    items = [ExportSummary.model_validate({**row.summary, "tainted_at": row.tainted_at}) for row in rows]
    return Page(items=items, total=total, next_cursor=cursor)


@router.get("/{export_id}", response_model=dict[str, Any])
async def get_export(export_id: str, request: Request, owner: OwnerId, rows: WithRows = True) -> Response:
    """The manifest; the same bytes each time."""
    async with request.app.state.database.transaction(owner) as connection:
        head, _ = await giving.manifest_of(connection, export_id)
    return await _manifest(request, owner, head, rows=rows, status=200)


async def _manifest(request: Request, owner: str, head: dict[str, Any], *, rows: bool, status: int) -> Response:
    pieces = giving.manifest_bytes(request.app.state.database, owner, str(head["export_id"]))
    if rows and int(head["exchanges"]) > _WHOLE:
        return StreamingResponse(pieces, status, media_type=JSON)
    content = b"".join([piece async for piece in pieces]) if rows else giving.head_bytes(head)
    return Response(content, status, media_type=JSON)


@router.get(
    "/{export_id}/rows",
    response_class=StreamingResponse,
    responses={
        200: {"content": {NDJSON: {}}, "description": "The file of the split, one row a line."},
        206: {"content": {NDJSON: {}}, "description": "Its rest, from the byte that `Range` asked for."},
        416: {"model": ErrorBody, "description": "The file has no such byte."},
    },
)
async def get_rows(
    export_id: str,
    request: Request,
    owner: OwnerId,
    split: Annotated[Literal["train", "val"], Query(description="Which file.")] = "train",
    range: Annotated[str | None, Header(description="`bytes=<first>-`: go on from there.")] = None,
    if_range: Annotated[
        str | None, Header(description="The `ETag` of what is there; another file comes whole.")
    ] = None,
) -> Response:
    """The rows of one split, byte for byte what the manifest's hash pins; 409 when that is no longer possible."""
    file = await giving.file_of(request.app.state.database, owner, export_id, split)
    tag = f'"{file.sha256}"'
    headers = {"Accept-Ranges": "bytes", "ETag": tag}
    asked = _FROM.fullmatch(range.strip()) if range and if_range in (None, tag) else None
    start = int(asked.group(1)) if asked else 0
    if asked and start >= file.size:
        raise giving.NoSuchByte(start, file.size)
    if asked:
        headers["Content-Range"] = f"bytes {start}-{file.size - 1}/{file.size}"
    headers["Content-Length"] = str(file.size - start)
    return StreamingResponse(file.content(start), 206 if asked else 200, headers, NDJSON)
