"""POST /messages and POST /memory/extract: learn about a user from what they say."""

import time
from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Query, Request

from memory_service.extraction import service
from memory_service.extraction.operations import Change
from memory_service.extraction.schemas import (
    Extracted,
    ExtractedMemory,
    ExtractRequest,
    MessageLearned,
    MessageRequest,
)
from memory_service.personas.service import CurrentPersona, resolve
from memory_service.unit_of_work import OwnedRoute, OwnerId

router = APIRouter(tags=["extraction"], route_class=OwnedRoute)

Explain = Annotated[bool, Query(description="Also tell what was said and changed nothing (event NONE).")]


@router.post("/messages")
async def learn_from_message(
    body: MessageRequest, request: Request, owner: OwnerId, explain: Explain = False
) -> MessageLearned:
    """Remember what a user says of themself.

    A model that is away or answers nonsense stops no chatbot: the answer is 200 with `success` false and the `problem`, and
    `casiopy_extractions_total` counts it. Rules never stand in for a configured model.
    """
    started = time.perf_counter()
    state = request.app.state
    persona = await _persona(request, owner, body.persona)
    learned = await service.learn(state.database, state.model, owner, persona, body.user_id, body.message)
    return MessageLearned(
        success=not learned.failed,
        extracted_memories=_shown(learned.changes, explain),
        response_time_ms=round((time.perf_counter() - started) * 1000),
        extractor=learned.extractor,
        problem=learned.problem,
    )


@router.post("/memory/extract")
async def extract(body: ExtractRequest, request: Request, owner: OwnerId, explain: Explain = False) -> Extracted:
    """Extract memories from a message or a conversation, and store them unless `store` is false.

    Failures are told as `POST /messages` tells them: 200 with `success` false and the `problem`.
    """
    state = request.app.state
    persona = await _persona(request, owner, body.persona)
    learned = await service.learn(
        state.database, state.model, owner, persona, body.user_id, body.said, store=body.store
    )
    return Extracted(
        user_id=body.user_id,
        success=not learned.failed,
        extracted_memories=_shown(learned.changes, explain),
        memories=list(learned.written),
        extractor=learned.extractor,
        problem=learned.problem,
    )


async def _persona(request: Request, owner: str, slug: str | None) -> CurrentPersona | None:
    if slug is None:
        return None
    state = request.app.state
    async with state.database.transaction(owner) as connection:
        return await resolve(connection, owner, slug, state.settings.default_persona)


def _shown(changes: Iterable[Change], explain: bool) -> list[ExtractedMemory]:
    return [
        ExtractedMemory(field=change.field, value=change.value, event=change.event)
        for change in changes
        if explain or change.event != "NONE"
    ]
