"""The routers on one screen, each answering under /api/v1 and, hidden from the schema, without the prefix."""

from fastapi import APIRouter, FastAPI, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from memory_service import health, metrics
from memory_service.adapters.router import router as adapters
from memory_service.chat.router import router as chat
from memory_service.core_memory.router import router as core_memory
from memory_service.errors import ErrorBody
from memory_service.exports.router import router as exports
from memory_service.extraction.router import router as extraction
from memory_service.feedback.router import router as feedback
from memory_service.gdpr.router import router as gdpr
from memory_service.interactions.router import router as interactions
from memory_service.memories.router import router as memories
from memory_service.personas.router import router as personas
from memory_service.recall.router import router as recall
from memory_service.sessions.router import router as sessions
from memory_service.stats.router import router as stats
from memory_service.topics.router import router as topics
from memory_service.users.router import router as users

ROUTERS: tuple[APIRouter, ...] = (
    core_memory,
    personas,
    sessions,
    interactions,
    feedback,
    users,
    stats,
    recall,
    memories,
    extraction,
    chat,
    gdpr,
    topics,
    exports,
    adapters,
)


def _whole_number(description: str) -> dict[str, object]:
    return {"description": description, "schema": {"type": "integer"}}


# Sent with every answer to a request that carries a key.
_RATE_LIMIT = {
    "X-RateLimit-Limit": _whole_number("Requests a minute allowed to this key; as many may come at once."),
    "X-RateLimit-Remaining": _whole_number("Requests left right now."),
    "X-RateLimit-Reset": _whole_number("When all of them are back, in seconds since 1970 (UTC)."),
}

_REFUSALS: dict[int | str, dict[str, object]] = {
    400: {"model": ErrorBody, "description": "The request cannot be carried out as it stands."},
    401: {
        "model": ErrorBody,
        "description": "A valid API key is needed. Missing, malformed, wrong and revoked keys get this same answer.",
        "headers": {"WWW-Authenticate": {"description": "Always `Bearer`.", "schema": {"type": "string"}}},
    },
    403: {"model": ErrorBody, "description": "Not from this host or origin."},
    404: {"model": ErrorBody, "description": "No such thing for this owner."},
    409: {"model": ErrorBody, "description": "The request contradicts what is stored."},
    429: {
        "model": ErrorBody,
        "description": "The key has used up its requests for now.",
        "headers": _RATE_LIMIT | {"Retry-After": _whole_number("Seconds until the next request is welcome.")},
    },
    # Without it FastAPI would document a 422 that never happens.
    "4XX": {"model": ErrorBody, "description": "Refused; `error` says why in one word, `detail` what to do."},
    500: {"model": ErrorBody, "description": "A defect of the service; its log has the details."},
    503: {"model": ErrorBody, "description": "The database does not answer."},
}


# For the document and the Authorize button of /docs alone: `auth.Admission` has read the key long before.
_KEY = [
    Security(HTTPBearer(auto_error=False, description="`Authorization: Bearer aimsk_live_…`")),
    Security(APIKeyHeader(name="X-API-Key", auto_error=False, description="The same key in a header of its own.")),
]


def include_routers(app: FastAPI) -> None:
    """Mount every router twice, and the health check and the metrics at the root."""
    app.include_router(metrics.router)
    app.include_router(health.router)
    app.include_router(health.router, prefix="/api/v1", include_in_schema=False)
    for router in ROUTERS:
        app.include_router(router, prefix="/api/v1", responses=_REFUSALS, dependencies=_KEY)
        app.include_router(router, include_in_schema=False)
