"""One request, one transaction, one commit, at the edge; a write repeated under one `Idempotency-Key` happens once."""

import hashlib
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy import any_, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.auth import owner_of
from memory_service.db import Database, despite_others
from memory_service.errors import BadRequest, Conflict
from memory_service.models import IdempotentRequest, Owner

_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
# A client that repeats a write does so within minutes; a day is generous and keeps the table small.
_REMEMBERED = text("now() - interval '1 day'")
# Old keys that a write takes away, while it brings one: the table shrinks whatever the traffic.
_FORGOTTEN = 20
# Status of a request that is being carried out.
_RUNNING = 0
# A process died while it waited: no wait is that long (LLM_TIMEOUT_SECONDS is far below).
_ABANDONED = text("status = 0 AND created_at < now() - interval '1 hour'")


class TransactionalRoute(APIRoute):
    """Opens the owner's transaction, runs the endpoint, commits before the answer leaves; any error rolls back.

    A transaction that PostgreSQL gave up to let a concurrent one go on has changed nothing, and is carried out again.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's hook: wrap the endpoint."""
        endpoint = super().get_route_handler()

        async def carry_out(request: Request) -> Response:
            owner = owner_of(request)
            async with request.app.state.database.transaction(owner) as connection:
                request.state.connection = connection
                if (key := _idempotency_key(request)) is None:
                    return await endpoint(request)
                return await _once(connection, owner, key, request, endpoint)

        async def handle(request: Request) -> Response:
            return await despite_others(partial(carry_out, request))

        return handle


class OwnedRoute(APIRoute):
    """Knows the owner and holds no transaction: for endpoints that wait for something slow, such as a language model.

    They open `request.app.state.database.transaction(owner)` before and after the wait.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's hook: wrap the endpoint."""
        endpoint = super().get_route_handler()

        async def handle(request: Request) -> Response:
            owner = owner_of(request)
            if (key := _idempotency_key(request)) is None:
                return await endpoint(request)
            return await _once_slowly(request.app.state.database, owner, key, request, endpoint)

        return handle


_Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


def _idempotency_key(request: Request) -> str | None:
    return request.headers.get("idempotency-key") if request.method in _WRITES else None


async def _once(connection: AsyncConnection, owner: str, key: str, request: Request, endpoint: _Endpoint) -> Response:
    """Answer from memory when `key` was used for the very same request; else run it and remember its answer."""
    # The claim waits for a concurrent request with the same key to commit or roll back.
    if (known := await _claim(connection, owner, key, request)) is not None:
        return known
    response = await endpoint(request)
    await _remember(connection, key, response)
    return response


async def _once_slowly(database: Database, owner: str, key: str, request: Request, endpoint: _Endpoint) -> Response:
    """The same in transactions of its own around the wait: a second request meanwhile is told to wait, too."""
    async with database.transaction(owner) as connection:
        await connection.execute(delete(IdempotentRequest).where(IdempotentRequest.key == key, _ABANDONED))
        if (known := await _claim(connection, owner, key, request)) is not None:
            return known
    try:
        response = await endpoint(request)
    except BaseException:
        async with database.transaction(owner) as connection:
            await connection.execute(delete(IdempotentRequest).where(IdempotentRequest.key == key))
        raise
    async with database.transaction(owner) as connection:
        await _remember(connection, key, response)
    return response


async def _claim(connection: AsyncConnection, owner: str, key: str, request: Request) -> Response | None:
    """The answer given before under this key; None when the request is new and may run.

    Raises:
        BadRequest: not a key. Conflict: used for a different request, or that request still runs.
    """
    if not 1 <= len(key) <= 255:
        raise BadRequest("Idempotency-Key must have 1 to 255 characters.")
    fingerprint = f"{request.method} {request.url.path}?{request.url.query}\n".encode() + await request.body()
    # The one header that says what a write is about: the same words in another conversation are another request.
    if session := request.headers.get("session-id"):
        fingerprint += f"\nsession-id: {session}".encode()
    request_hash = hashlib.sha256(fingerprint).digest()
    table = IdempotentRequest
    await connection.execute(insert(Owner).values(id=owner).on_conflict_do_nothing())
    # Few, and none that another request is taking away: nobody waits until the endpoint of another has committed.
    old = select(table.key).where(table.owner_id == owner, table.created_at < _REMEMBERED).limit(_FORGOTTEN)
    old_keys = func.array(old.with_for_update(skip_locked=True).scalar_subquery())
    await connection.execute(delete(table).where(table.owner_id == owner, table.key == any_(old_keys)))
    values = {"request_hash": request_hash, "status": _RUNNING, "body": b""}
    claim = insert(table).values(owner_id=owner, key=key, **values)
    # A key that is still remembered changes nothing and is locked: it is there when it is read, even if the request that has
    # it fails at this moment and gives it back.
    claim = claim.on_conflict_do_update(
        index_elements=[table.owner_id, table.key],
        set_={**values, "created_at": func.now()},
        where=table.created_at < _REMEMBERED,
    )
    if (await connection.execute(claim)).rowcount == 1:
        return None
    row = (await connection.execute(select(table).where(table.key == key))).one()
    if row.request_hash != request_hash:
        raise Conflict("This Idempotency-Key was used for a different request. Choose a fresh key for each new write.")
    if row.status == _RUNNING:
        raise Conflict("The request with this Idempotency-Key is still being carried out. Ask again in a moment.")
    headers = {"Idempotent-Replay": "true"}
    return Response(row.body, row.status, headers=headers, media_type="application/json" if row.body else None)


async def _remember(connection: AsyncConnection, key: str, response: Response) -> None:
    """Keep the answer for the next request with this key; an answer that is streamed cannot be kept."""
    body = getattr(response, "body", None)
    if body is None:
        await connection.execute(delete(IdempotentRequest).where(IdempotentRequest.key == key))
        return
    values = {"status": response.status_code, "body": bytes(body)}
    await connection.execute(update(IdempotentRequest).where(IdempotentRequest.key == key).values(values))


def _connection(request: Request) -> AsyncConnection:
    connection: AsyncConnection = request.state.connection
    return connection


Transaction = Annotated[AsyncConnection, Depends(_connection)]
OwnerId = Annotated[str, Depends(owner_of)]
