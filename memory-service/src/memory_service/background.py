"""What runs beside the requests: embedder and model always, a reranker if set, the worker unless it is a process of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from memory_service.db import Database
from memory_service.embeddings.background import Load, configured_embedder
from memory_service.health import PartHealth
from memory_service.llm.choosing import configured_model
from memory_service.llm.watch import ModelWatch
from memory_service.recall.choosing import configured_second_look
from memory_service.settings import Settings
from memory_service.worker import Worker


def _elsewhere() -> PartHealth:
    return PartHealth(
        status="ok", detail="WORKER_IN_PROCESS is false: `casiopy worker` does the work; look at its log for how it is"
    )


@asynccontextmanager
async def background_work(
    app: FastAPI, settings: Settings, database_url: str, load: Load | None = None
) -> AsyncIterator[None]:
    """Start embedder, language model and worker, show them in /health, and stop them again."""
    database: Database = app.state.database
    embedder = configured_embedder(settings, database, load)
    app.state.embedder = embedder
    # Only the process that embeds may begin before the worker does.
    app.state.begin_embedding = embedder.begin if settings.worker_in_process else None
    app.state.background_parts["embedder"] = embedder.health
    app.state.background_parts["worker"] = _elsewhere
    app.state.model = configured_model(settings)
    model_watch = ModelWatch(app.state.model)
    app.state.background_parts["model"] = model_watch.health
    embedder.start()
    model_watch.start()
    worker: Worker | None = None
    if settings.worker_in_process:
        worker = Worker(database_url, database, embedder, app.state.model)
        app.state.background_parts["worker"] = worker.health
        worker.start()
    try:
        async with configured_second_look(settings, app.state.model, app.state.background_parts) as second_look:
            app.state.second_look = second_look
            yield
    finally:
        if worker is not None:
            await worker.close()
        await model_watch.close()
        await embedder.close()
