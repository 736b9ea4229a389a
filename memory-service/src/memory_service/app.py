"""The application: lifespan, middleware, routers, error handlers."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi_offline import FastAPIOffline

from memory_service import __version__
from memory_service.agents.agent import Agent
from memory_service.agents.installed import checked
from memory_service.api import include_routers
from memory_service.auth import Admission, LoopbackGuard
from memory_service.background import background_work
from memory_service.bodies import JsonBodies
from memory_service.embeddings.background import Load
from memory_service.encryption.store import open_database, unlock
from memory_service.errors import DefectAnswers, install_error_handlers
from memory_service.health import PartHealth
from memory_service.limits import BodyLimit
from memory_service.llm.tokens import token_counter
from memory_service.metrics import Metrics, RequestCount
from memory_service.settings import Settings

log = logging.getLogger(__name__)

# Headers of answers that a page of another origin may read.
_EXPOSED = (
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "Retry-After",
    "X-Total-Count",
    "X-Next-Cursor",
    "Idempotent-Replay",
)

_DESCRIPTION = """\
Immutable core memory, every scored exchange, recall in milliseconds, datasets with their lineage.

A key goes into `Authorization: Bearer …` or `X-API-Key`; on the machine the service runs on, none is needed until `API_KEY`
is set. Every answer to a request with a key says in `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset` how
much of the key's limit is left. Every refusal has one shape: `detail` for people, `error` for programs.
"""


def create_app(
    settings: Settings, database_url: str, *, load_embedder: Load | None = None, agents: Sequence[Agent] = ()
) -> FastAPI:
    """The service over the migrated database at `database_url`.

    `load_embedder` loads another embedder than the one EMBEDDING_MODEL names (a client's tests bring a small one).
    `agents` may answer chat messages in the persona's place; their tables are there already (`agents.tables`).
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.database = open_database(settings, database_url)
        try:
            if app.state.database.cipher is not None:  # without a key there is nothing to open, and no reason to wait
                await unlock(app.state.database)
            async with background_work(app, settings, database_url, load_embedder):
                yield
        finally:
            await app.state.database.close()

    # The pages at /docs and /redoc bring their own scripts: they must work on a machine without internet.
    app = FastAPIOffline(
        title="Casiopy memory service",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.token_counter = token_counter(settings.llm_tokenizer)
    app.state.agents = checked(agents)
    # What runs in the background and how it says how it is, by the name /health shows.
    app.state.background_parts = dict[str, Callable[[], PartHealth]]()
    app.state.metrics = Metrics()
    install_error_handlers(app)
    include_routers(app)
    _guard(app, settings)
    return app


def _guard(app: FastAPI, settings: Settings) -> None:
    """Put the middleware around the routers, innermost first."""
    app.add_middleware(JsonBodies)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_mb * 1024**2)
    app.add_middleware(DefectAnswers)
    app.add_middleware(Admission, settings=settings)
    if settings.keyless:
        app.add_middleware(LoopbackGuard, settings=settings)
    # Outside of everything that refuses, so that a page can read why it was refused.
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=_EXPOSED,
        )
    app.add_middleware(RequestCount, metrics=app.state.metrics)
    if "*" in settings.cors_origins:
        log.warning("CORS_ORIGINS is `*`: any web page a browser here opens may read and change the memory")
