"""/interactions: record one or many, list, show, rescore, delete; and those good enough to learn from."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy import Select

from memory_service.db import Database
from memory_service.interactions import repository, service
from memory_service.interactions.schemas import (
    Bulk,
    BulkStored,
    InteractionCreate,
    InteractionFilter,
    InteractionItem,
    QualityUpdate,
    TrainingFilter,
)
from memory_service.models import Interaction
from memory_service.paging import Page, PageRequest, Paging, fetch_page
from memory_service.personas.service import PersonaFromQuery
from memory_service.unit_of_work import OwnerId, Transaction, TransactionalRoute

router = APIRouter(prefix="/interactions", tags=["interactions"], route_class=TransactionalRoute)

NDJSON = "application/x-ndjson"
_ORDER = (Interaction.__table__.c.occurred_at, Interaction.__table__.c.id)
# Rows fetched from the server-side cursor at a time: a few hundred kilobytes of chat.
_STREAMED_ROWS = 500


@router.post("", status_code=201)
async def create_interaction(
    interaction: InteractionCreate, connection: Transaction, owner: OwnerId
) -> InteractionItem:
    """Record one exchange. It is scored at once and embedded soon after."""
    (stored,) = await service.record(connection, owner, [interaction])
    return await service.get(connection, stored.id)


@router.post("/bulk", status_code=201)
async def create_interactions(bulk: Bulk, request: Request, connection: Transaction, owner: OwnerId) -> BulkStored:
    """Record up to 1000 exchanges, all or none; an error names the index of the one it is about."""
    stored = await service.record(connection, owner, bulk.interactions, request.app.state.begin_embedding)
    return BulkStored(created=len(stored), items=stored)


async def _page(
    connection: Transaction, statement: Select[Any], paging: PageRequest, *, descending: bool
) -> Page[InteractionItem]:
    rows, total, cursor = await fetch_page(connection, statement, _ORDER, paging, descending=descending)
    return Page(items=[InteractionItem.model_validate(row) for row in rows], total=total, next_cursor=cursor)


@router.get("")
async def list_interactions(
    connection: Transaction,
    paging: Paging,
    wanted: Annotated[InteractionFilter, Depends()],
    order: Annotated[Literal["asc", "desc"], Query(description="By time: oldest or newest first.")] = "asc",
) -> Page[InteractionItem]:
    """Interactions that fit every filter given."""
    return await _page(connection, repository.matching(wanted), paging, descending=order == "desc")


async def _lines(database: Database, owner: str, statement: Select[Any]) -> AsyncIterator[str]:
    """One JSON object a line, in a transaction of its own: the request's has ended when the first line leaves."""
    async with database.transaction(owner) as connection:
        rows = await connection.stream(
            statement.order_by(*_ORDER), execution_options={"max_row_buffer": _STREAMED_ROWS}
        )
        async for part in rows.partitions(_STREAMED_ROWS):
            yield "".join(f"{InteractionItem.model_validate(row).model_dump_json()}\n" for row in part)


@router.get(
    "/training-ready",
    response_model=Page[InteractionItem],
    responses={200: {"content": {NDJSON: {}}, "description": "A page; as NDJSON, every row."}},
)
async def training_ready(
    request: Request,
    connection: Transaction,
    owner: OwnerId,
    persona: PersonaFromQuery,
    paging: Paging,
    wanted: Annotated[TrainingFilter, Depends()],
    accept: Annotated[str, Header()] = "application/json",
    format: Annotated[Literal["json", "ndjson"] | None, Query(description="ndjson: every row, streamed.")] = None,
) -> Page[InteractionItem] | StreamingResponse:
    """What the persona may learn from, oldest first: not dropped, good enough, answered, and nobody opted out.

    A page of JSON, or with `Accept: application/x-ndjson` (or `format=ndjson`) all of it, one interaction a line.
    """
    statement = repository.training_ready(persona.id, wanted)
    if format == "ndjson" or (format is None and NDJSON in accept):
        return StreamingResponse(_lines(request.app.state.database, owner, statement), media_type=NDJSON)
    return await _page(connection, statement, paging, descending=False)


@router.get("/{interaction_id}")
async def get_interaction(interaction_id: UUID, connection: Transaction) -> InteractionItem:
    """One interaction."""
    return await service.get(connection, interaction_id)


@router.put("/{interaction_id}/quality")
async def update_quality(
    interaction_id: UUID, update: QualityUpdate, connection: Transaction, owner: OwnerId
) -> InteractionItem:
    """Overrule the scorer. From 0.5 on, a human's score also lifts a hard rule's drop."""
    return await service.override_quality(connection, owner, interaction_id, update)


@router.delete("/{interaction_id}", status_code=204, response_class=Response)
async def delete_interaction(interaction_id: UUID, connection: Transaction) -> None:
    """Delete an exchange with its vectors, feedback and topics; datasets and adapters that hold it become tainted."""
    await service.remove(connection, interaction_id)
