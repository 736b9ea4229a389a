"""/chat: talk with the persona, or with an agent in her place; and /history."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import StreamingResponse
from pydantic import BeforeValidator

from memory_service.chat.history_router import router as history
from memory_service.chat.schemas import ChatAnswer, ChatRequest, LearnedField, Respuesta, UsedMemory
from memory_service.chat.service import Answered, Chat, Message
from memory_service.chat.streaming import events, first_piece, while_connected
from memory_service.errors import BadRequest, ErrorBody
from memory_service.sessions.identity import SessionId
from memory_service.unit_of_work import OwnedRoute, OwnerId

router = APIRouter(tags=["chat"], route_class=OwnedRoute)

EVENTS = "text/event-stream"
# A page that has no session yet sends the header empty; that begins one.
_EMPTY_IS_NONE = BeforeValidator(lambda value: value or None)
_EVENT = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "event": {"type": "string", "description": "`error` when the model broke off; nothing is stored then."},
        "data": {
            "type": "string",
            "description": 'JSON: `{"delta": …}` for each piece; last `{"done": true, …}` with the rest of the answer.',
        },
    },
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {EVENTS: {"schema": _EVENT}}, "description": "The answer; with `stream`, its events."},
    502: {"model": ErrorBody, "description": "The model answered, and its answer cannot be used."},
    503: {
        "model": ErrorBody,
        "description": "No model is configured, or its server (or the database) does not answer.",
    },
}


def _session_id(request: ChatRequest, header: str | None) -> str | None:
    if header is not None and request.session_id is not None and header != request.session_id:
        raise BadRequest("session_id: the body and the header session-id name different sessions. Send one of them.")
    return header or request.session_id


def _shown(answered: Answered, form: str) -> ChatAnswer | Respuesta:
    prepared = answered.prepared
    if form == "mensaje":
        return Respuesta(respuesta=answered.text, session_id=prepared.ref, decision=prepared.decision)
    used = prepared.prompt.recalled if prepared.prompt else ()
    return ChatAnswer(
        response=answered.text,
        session_id=prepared.ref,
        user_id=prepared.user_id,
        interaction_id=answered.interaction_id,
        decision=prepared.decision,
        model=answered.model,
        memories=[UsedMemory(id=one.id, content=one.line, relevance_score=one.relevance_score) for one in used],
        learned=[LearnedField(field=one.field, value=one.value, event=one.event) for one in answered.changes],
        extractor=answered.extractor,
        problem=answered.problem,
    )


@router.post("/chat", response_model=ChatAnswer | Respuesta, responses=_ANSWERS)
async def chat(
    request: Request,
    body: ChatRequest,
    owner: OwnerId,
    session_id: Annotated[
        SessionId | None, _EMPTY_IS_NONE, Header(description="The conversation, as in the body.")
    ] = None,
) -> ChatAnswer | Respuesta | StreamingResponse:
    """Say something to the persona. She remembers the conversation, its summary, and what matters of the viewer.

    Where agents are installed, one of them may answer instead; `decision` names it. With `stream` the answer comes as
    events: `{"delta": …}` for each piece, then one with `"done": true` and the rest of the answer.
    """
    conversation = Chat(request.app, owner)
    said = Message(body.said, _session_id(body, session_id), body.user_id, body.persona, body.learns)
    prepared = await while_connected(request, conversation.prepare(said))
    if not body.stream:
        text, model = await while_connected(request, conversation.answer(prepared))
        return _shown(await conversation.finish(prepared, text, model), body.form)
    pieces = conversation.pieces(prepared)
    first = await while_connected(request, first_piece(pieces))
    stream = events(conversation, prepared, first, pieces, lambda done: _shown(done, body.form).model_dump())
    return StreamingResponse(stream, media_type=EVENTS, headers={"Cache-Control": "no-cache"})


router.include_router(history)
