"""The service's embedder: loads in the background, answers questions first, and says how it is."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.db import Database
from memory_service.embeddings.ahead import EmbeddingAhead
from memory_service.embeddings.embedder import (
    EMBEDDING_ERRORS,
    Embedder,
    EmbedderNotReady,
    EmbedderUnavailable,
    InRuns,
    Kind,
    Vectors,
)
from memory_service.embeddings.loading import load as load_model
from memory_service.embeddings.registry import ModelMismatch, active_model, agree_on_model
from memory_service.embeddings.thread import EmbeddingThread
from memory_service.health import PartHealth
from memory_service.settings import Settings

log = logging.getLogger(__name__)

# Loads a model in the thread that will use it; raises EmbedderUnavailable when it cannot be had.
Load = Callable[[], Embedder]

_DATABASE_AWAY = (SQLAlchemyError, OSError, asyncpg.PostgresError, asyncpg.InternalClientError)
# A database that is away at start usually comes back within seconds.
_ASK_AGAIN_SECONDS = 2.0
# How often it is looked whether the database has moved to another model, and when every process has noticed.
_LOOK_EVERY_SECONDS = 5.0
NOTICED_WITHIN_SECONDS = 3 * _LOOK_EVERY_SECONDS


class BackgroundEmbedder:
    """An embedder that may not be there yet, or ever: storing and recall go on without it.

    Attributes:
        model_id: the loaded model's row in `embedding_models`; None until the embedder is ready.
    """

    def __init__(self, setting: str, load: Load, database: Database) -> None:
        self.model_id: int | None = None
        self._setting = setting
        self._load = load
        self._database = database
        self._embedder: Embedder | None = None
        self._status: Literal["ok", "loading", "failed"] = "loading"
        self._detail = "the embedding model is still loading"
        self._decided = asyncio.Event()
        self._thread: EmbeddingThread | None = None
        self._task: asyncio.Task[None] | None = None
        self._ahead = EmbeddingAhead(partial(self.embed, kind="memory"))

    def start(self) -> None:
        """Begin loading; returns at once."""
        self._thread = EmbeddingThread()
        self._task = asyncio.create_task(self._prepare(self._thread), name="load embedder")

    async def close(self) -> None:
        """Stop embedding; a model that is still loading is abandoned."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        self._ahead.close()
        if self._thread is not None:
            self._thread.close()

    @property
    def ready(self) -> bool:
        """Whether it embeds now."""
        return self._status == "ok"

    async def decided(self) -> None:
        """Wait until the model is loaded or has failed."""
        await self._decided.wait()

    async def embed(self, texts: Sequence[str], kind: Kind, *, ahead: bool = False) -> Vectors:
        """Vectors of `texts`, one row of length 1 each; of memories nobody waits for yet (`ahead`), after all others.

        Raises:
            EmbedderNotReady: none now. EMBEDDING_ERRORS: a text could not be embedded.
        """
        embedder = self._embedder
        if embedder is None or self._thread is None or self._status != "ok":
            raise EmbedderNotReady(self._detail)
        return await self._thread.embed(embedder, texts, kind, ahead=ahead)

    def begin(self, texts: Sequence[str]) -> None:
        """Embed what is about to be stored, so that `memories` finds its vectors made. Nothing while there is no model."""
        if self.ready:
            self._ahead.begin(texts)

    async def memories(self, texts: Sequence[str]) -> Vectors:
        """Vectors of stored texts, begun before or not.

        Raises:
            EmbedderNotReady: none now. EMBEDDING_ERRORS: a text could not be embedded.
        """
        if not self.ready:
            raise EmbedderNotReady(self._detail)
        return await self._ahead.fetch(texts)

    def health(self) -> PartHealth:
        """How the embedder is, with the model's name and dimension."""
        facts = {"model": self._setting, "dimension": self._embedder.dimension if self._embedder else None}
        return PartHealth.model_validate({"status": self._status, "detail": self._detail} | facts)

    async def _prepare(self, thread: EmbeddingThread) -> None:
        try:
            self._embedder = await thread.run(self._load)
            self.model_id = await self._agree(self._embedder)
        except (EmbedderUnavailable, ModelMismatch) as error:
            self._status, self._detail = "failed", str(error)
            log.error("No embedder: %s", error)
        except (OSError, *EMBEDDING_ERRORS) as error:
            self._status = "failed"
            self._detail = f"EMBEDDING_MODEL={self._setting} could not be loaded: {error}. See the service's log."
            log.exception("No embedder")
        else:
            self._status, self._detail = "ok", _described(self._embedder)
        self._decided.set()
        while self.ready:
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            await self._look()

    async def is_active(self, connection: AsyncConnection) -> bool:
        """Whether the database still takes this model's vectors; if so, until the transaction ends. If not, no more is made."""
        active = await active_model(connection, lock="share")
        if active is not None and active.id == self.model_id:
            return True
        self._retire(active.name if active else None)
        return False

    async def _look(self) -> None:
        try:
            async with self._database.unowned() as connection:
                await self.is_active(connection)
        except _DATABASE_AWAY as error:
            log.warning("Whether the embedding model is still the active one is not known (%s)", type(error).__name__)

    def _retire(self, active: str | None) -> None:
        self._status = "failed"
        because = (
            f"the database no longer says whose vectors it holds: restart to register {self._setting}"
            if active is None
            else f"the database now holds vectors of {active}, not of {self._setting}: restart with EMBEDDING_MODEL={active}"
        )
        self._detail = f"{because}. Until then recall goes by words alone, and what is stored waits for its vectors"
        log.error("No embedder: %s", self._detail)

    async def _agree(self, embedder: Embedder) -> int:
        while True:
            try:
                async with self._database.unowned() as connection:
                    return await agree_on_model(connection, embedder)
            except _DATABASE_AWAY as error:
                log.warning("The embedder waits for the database (%s)", type(error).__name__)
                await asyncio.sleep(_ASK_AGAIN_SECONDS)


def _described(embedder: Embedder) -> str:
    revision = f"revision {embedder.revision or 'unknown'}"
    return f"{revision}, on {embedder.engine}" if isinstance(embedder, InRuns) else revision


def configured_embedder(settings: Settings, database: Database, load: Load | None = None) -> BackgroundEmbedder:
    """The embedder the settings name, or the one `load` loads; not started."""
    model = settings.embedding_model
    configured = partial(load_model, model, settings.embedding_threads, settings.embedding_precision)
    return BackgroundEmbedder(model, load or configured, database)
