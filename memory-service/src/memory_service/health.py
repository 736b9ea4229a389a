"""GET /health: 200 when every part answers, 503 naming the one that does not."""

import asyncio
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from memory_service import __version__
from memory_service.db import Database
from memory_service.schema import head_revision

router = APIRouter(tags=["health"])

_ANSWER_WITHIN_SECONDS = 3.0
_FACTS = text("""
    SELECT current_setting('server_version') AS server,
           (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS pgvector,
           (SELECT version_num FROM alembic_version) AS revision
""")


class PartHealth(BaseModel):
    """How one part is. `loading` counts as healthy: it will heal by itself."""

    model_config = ConfigDict(extra="allow")

    status: Literal["ok", "loading", "failed"]
    detail: str


class Health(BaseModel):
    """How the service is; `degraded` means that requests work and something in the background does not."""

    status: Literal["ok", "degraded", "failed"]
    version: str
    checks: dict[str, PartHealth]


async def _database_parts(database: Database) -> dict[str, PartHealth]:
    try:
        async with asyncio.timeout(_ANSWER_WITHIN_SECONDS), database.unowned() as connection:
            facts = (await connection.execute(_FACTS)).one()
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        reason = type(error).__name__
        return {
            "database": PartHealth(status="failed", detail=f"PostgreSQL does not answer ({reason}). Is it running?")
        }
    vector = facts.pgvector
    current = facts.revision == head_revision()
    revision = f"revision {facts.revision}"
    return {
        "database": PartHealth(status="ok", detail=f"PostgreSQL {facts.server}"),
        "pgvector": PartHealth(
            status="ok" if vector else "failed", detail=f"pgvector {vector}" if vector else "missing"
        ),
        "schema": PartHealth(
            status="ok" if current else "failed",
            detail=revision if current else f"{revision}, this release needs {head_revision()}: run `casiopy migrate`",
        ),
    }


@router.get("/health", responses={503: {"model": Health}})
async def health(request: Request, response: Response) -> Health:
    """Whether the service can do its work, part by part."""
    checks = await _database_parts(request.app.state.database)
    broken = any(part.status == "failed" for part in checks.values())
    for name, describe in request.app.state.background_parts.items():
        checks[name] = describe()
    degraded = any(part.status == "failed" for part in checks.values())
    response.status_code = 503 if broken else 200
    status: Literal["ok", "degraded", "failed"] = "failed" if broken else "degraded" if degraded else "ok"
    return Health(status=status, version=__version__, checks=checks)


class Root(BaseModel):
    """What the service is and where to go on from here."""

    status: Literal["ok"] = "ok"
    message: str = "Casiopy: API con memoria persistente"
    service: str = "casiopy-memory-service"
    version: str = __version__
    docs: str = "/docs"
    endpoints: dict[str, str] = {
        "POST /chat": "Enviar mensaje",
        "GET /history/{session_id}": "Ver historial",
        "DELETE /history/{session_id}": "Borrar historial",
    }


@router.get("/", include_in_schema=False)
async def root() -> Root:
    """A friendly answer to a browser or a probe at the root."""
    return Root()
