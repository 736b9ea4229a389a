"""GET /topics, POST /topics/refresh."""

from typing import Any

from fastapi import APIRouter
from sqlalchemy import ColumnElement, select

from memory_service.paging import Paging, fetch_page
from memory_service.personas.service import PersonaFromQuery
from memory_service.topics import repository, service
from memory_service.topics.schemas import RefreshAnswer, TopicItem, TopicsPage
from memory_service.unit_of_work import OwnerId, Transaction, TransactionalRoute

router = APIRouter(prefix="/topics", tags=["topics"], route_class=TransactionalRoute)


@router.get("")
async def list_topics(connection: Transaction, persona: PersonaFromQuery, paging: Paging) -> TopicsPage:
    """What the persona's viewers talk about, largest topic first; `note` says why when there are none."""
    counted = repository.topics(persona.id).subquery()
    order: list[ColumnElement[Any]] = [counted.c.interactions, counted.c.id]
    rows, total, cursor = await fetch_page(connection, select(counted), order, paging, descending=True)
    examples = await repository.examples(connection, [row.id for row in rows])
    items = [
        TopicItem(
            id=row.id,
            label=row.label,
            keywords=row.keywords,
            interactions=row.interactions,
            examples=examples.get(row.id, []),
        )
        for row in rows
    ]
    note = None if total else await service.why_none(connection, persona)
    return TopicsPage(items=items, total=total, next_cursor=cursor, note=note)


@router.post("/refresh", status_code=202)
async def refresh_topics(connection: Transaction, owner: OwnerId, persona: PersonaFromQuery) -> RefreshAnswer:
    """Look for topics again, in the background."""
    queued = await service.enqueue_refresh(connection, owner, persona)
    return RefreshAnswer(status="queued" if queued else "already queued")
