"""Which persona a request means."""

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query, Request
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.errors import NotFound
from memory_service.personas import repository
from memory_service.unit_of_work import OwnerId, Transaction


@dataclass(frozen=True, slots=True)
class CurrentPersona:
    """The persona a request acts on."""

    id: UUID
    slug: str
    name: str
    language: str
    settings: dict[str, Any]


async def resolve(connection: AsyncConnection, owner: str, slug: str | None, default_slug: str) -> CurrentPersona:
    """The persona called `slug`, or the default one, which comes into being when it is first needed.

    Raises:
        NotFound: this owner has no persona of that name.
    """
    wanted = slug or default_slug
    row = await repository.find(connection, wanted)
    if row is None and wanted == default_slug:
        await repository.create(connection, owner, wanted)
        row = await repository.find(connection, wanted)
    if row is None:
        raise NotFound(f"No persona is called {wanted!r}. GET /personas lists those there are.")
    return CurrentPersona(row.id, row.slug, row.name, row.language, row.settings)


async def _from_query(
    request: Request,
    connection: Transaction,
    owner: OwnerId,
    persona: Annotated[str | None, Query(description="Slug of the persona; the default one when absent.")] = None,
) -> CurrentPersona:
    return await resolve(connection, owner, persona, request.app.state.settings.default_persona)


PersonaFromQuery = Annotated[CurrentPersona, Depends(_from_query)]
