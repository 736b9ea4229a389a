"""One request, one transaction, one commit, at the edge; a write repeated under one `Idempotency-Key` happens once."""

import hashlib
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.auth import owner_of
from memory_service.errors import BadRequest, Conflict
from memory_service.models import IdempotentRequest, Owner

_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
# A client that repeats a write does so within minutes; a day is generous and keeps the table small.
_REMEMBERED = text("now() - interval '1 day'")


class TransactionalRoute(APIRoute):
    """Opens the owner's transaction, runs the endpoint, commits before the answer leaves; any error rolls back."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's hook: wrap the endpoint."""
        endpoint = super().get_route_handler()

        async def handle(request: Request) -> Response:
            owner = await owner_of(request)
            async with request.app.state.database.transaction(owner) as connection:
                request.state.owner, request.state.connection = owner, connection
                key = request.headers.get("idempotency-key") if request.method in _WRITES else None
                if key is None:
                    return await endpoint(request)
                return await _once(connection, owner, key, request, endpoint)

        return handle


async def _once(
    connection: AsyncConnection,
    owner: str,
    key: str,
    request: Request,
    endpoint: Callable[[Request], Coroutine[Any, Any, Response]],
) -> Response:
    """Answer from memory when `key` was used for the very same request; else run it and remember its answer."""
    if not 1 <= len(key) <= 255:
        raise BadRequest("Idempotency-Key must have 1 to 255 characters.")
    fingerprint = f"{request.method} {request.url.path}?{request.url.query}\n".encode() + await request.body()
    request_hash = hashlib.sha256(fingerprint).digest()
    table = IdempotentRequest
    await connection.execute(insert(Owner).values(id=owner).on_conflict_do_nothing())
    await connection.execute(delete(table).where(table.created_at < _REMEMBERED))
    # The insert waits for a concurrent request with the same key to commit or roll back.
    claim = insert(table).values(owner_id=owner, key=key, request_hash=request_hash, status=0, body=b"")
    if (await connection.execute(claim.on_conflict_do_nothing())).rowcount == 0:
        row = (await connection.execute(select(table).where(table.key == key))).one()
        if row.request_hash != request_hash:
            raise Conflict(
                "This Idempotency-Key was used for a different request. Choose a fresh key for each new write."
            )
        headers = {"Idempotent-Replay": "true"}
        return Response(row.body, row.status, headers=headers, media_type="application/json" if row.body else None)
    response = await endpoint(request)
    body = bytes(response.body)
    statement = table.__table__.update().where(table.key == key)  # type: ignore[attr-defined]
    await connection.execute(statement.values(status=response.status_code, body=body))
    return response


def _connection(request: Request) -> AsyncConnection:
    connection: AsyncConnection = request.state.connection
    return connection


def _owner(request: Request) -> str:
    owner: str = request.state.owner
    return owner


Transaction = Annotated[AsyncConnection, Depends(_connection)]
OwnerId = Annotated[str, Depends(_owner)]
