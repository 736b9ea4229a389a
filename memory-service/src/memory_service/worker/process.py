"""`casiopy worker`: the background work in a process of its own."""

import asyncio

from memory_service.embeddings.background import configured_embedder
from memory_service.encryption.store import open_database, unlock
from memory_service.llm.choosing import configured_model
from memory_service.settings import Settings
from memory_service.worker.worker import Worker


async def run(settings: Settings, database_url: str) -> None:
    """Work until cancelled."""
    database = open_database(settings, database_url)
    await unlock(database)
    embedder = configured_embedder(settings, database)
    model = configured_model(settings)
    worker = Worker(database_url, database, embedder, model)
    embedder.start()
    worker.start()
    try:
        await asyncio.Event().wait()
    finally:
        await worker.close()
        if model is not None:
            await model.close()
        await embedder.close()
        await database.close()
