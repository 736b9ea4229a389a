"""An answer as server-sent events, and what becomes of a client that goes away."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import Request
from fastapi.encoders import jsonable_encoder
from sqlalchemy.exc import DBAPIError

from memory_service.chat.service import Answered, Chat, Prepared
from memory_service.errors import DATABASE_AWAY, ServiceError, answer_to

log = logging.getLogger(__name__)

T = TypeVar("T")

# How often a waiting request looks whether its client is still there.
_LOOK_SECONDS = 0.25
# Tasks that outlive their request; the event loop alone would forget them.
_outliving: set[asyncio.Task[Any]] = set()


class ClientGone(ServiceError):
    """Nobody waits for the answer any more; the model was told to stop."""

    status = 499
    code = "client_gone"

    def __init__(self) -> None:
        super().__init__("The client closed the connection before the answer was there; nothing was stored.")


async def while_connected(request: Request, waited_for: Coroutine[Any, Any, T]) -> T:
    """The result, unless the client goes away first: then the work is cancelled.

    Raises:
        ClientGone: it did.
    """
    task = asyncio.create_task(waited_for)
    try:
        while not (await asyncio.wait({task}, timeout=_LOOK_SECONDS))[0]:
            if await request.is_disconnected():
                raise ClientGone
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


async def first_piece(pieces: AsyncGenerator[str, None]) -> str:
    """The first piece: until it is there, a failure of the model is an answer with a status of its own."""
    return await anext(pieces, "")


async def events(
    chat: Chat,
    prepared: Prepared,
    first: str,
    pieces: AsyncGenerator[str, None],
    shown: Callable[[Answered], dict[str, Any]],
) -> AsyncGenerator[bytes, None]:
    """`data: {"delta": …}` for each piece, and at the end one with everything else of the answer, `done` and its ids.

    A client that goes away stops the model; what it has been sent is stored as an interrupted answer. A model that breaks
    off ends the stream with an event `error`, and nothing is stored.
    """
    said = [first]
    finishing: asyncio.Task[Answered] | None = None
    try:
        async with aclosing(pieces):
            yield _event({"delta": first})
            async for piece in pieces:
                said.append(piece)
                yield _event({"delta": piece})
        # Not to be torn in the middle when the client leaves now: the whole answer was sent.
        finishing = _outlive(chat.finish(prepared, "".join(said)))
        answered = await asyncio.shield(finishing)
        yield _event({"done": True, **shown(answered)})
    except (asyncio.CancelledError, GeneratorExit):
        if finishing is None:
            _outlive(chat.finish(prepared, "".join(said), interrupted=True))
        raise
    except (ServiceError, DBAPIError, *DATABASE_AWAY) as error:
        body = bytes(answer_to(error).body).decode()
        yield f"event: error\ndata: {body}\n\n".encode()


def _event(body: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(jsonable_encoder(body), ensure_ascii=False)}\n\n".encode()


def _outlive(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    task = asyncio.create_task(work)
    _outliving.add(task)
    task.add_done_callback(_settled)
    return task


def _settled(task: asyncio.Task[Any]) -> None:
    _outliving.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        # Whoever waited for it has been told; of the others the log is the only witness. Their texts stay out of it.
        log.warning("The end of an answer could not be stored (%s)", type(error).__name__)
