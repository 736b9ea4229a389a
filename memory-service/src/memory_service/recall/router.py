"""POST /memory/context for prompts, POST /recall to look into it."""

from fastapi import APIRouter, Request

from memory_service.personas.service import resolve
from memory_service.recall import service
from memory_service.recall.schemas import Context, ContextRequest, Recalled, RecallRequest
from memory_service.unit_of_work import OwnerId, Transaction, TransactionalRoute

router = APIRouter(tags=["recall"], route_class=TransactionalRoute)


@router.post("/memory/context")
async def memory_context(asked: ContextRequest, request: Request, connection: Transaction, owner: OwnerId) -> Context:
    """What the persona should remember now, typed memories and exchanges, best first, and as lines for a prompt."""
    state = request.app.state
    persona = await resolve(connection, owner, asked.persona, state.settings.default_persona)
    return await service.context(connection, state.embedder, persona, asked, state.token_counter, state.second_look)


@router.post("/recall")
async def recall(asked: RecallRequest, request: Request, connection: Transaction, owner: OwnerId) -> Recalled:
    """The same with the exchanges behind it; `arms` compares the ways of finding them."""
    state = request.app.state
    persona = await resolve(connection, owner, asked.persona, state.settings.default_persona)
    return await service.recall(connection, state.embedder, persona, asked, state.second_look)
