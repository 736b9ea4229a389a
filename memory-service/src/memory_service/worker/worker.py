"""The worker: takes jobs from the queue, runs the periodic ones, and comes back after the database was away."""

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta
from typing import Literal

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.errors import PgqException
from pgqueuer.models import Job, Schedule
from sqlalchemy.exc import SQLAlchemyError

from memory_service.chat import summarising
from memory_service.db import Database, asyncpg_arguments
from memory_service.embeddings.background import BackgroundEmbedder
from memory_service.embeddings.sources import INTERACTIONS, MEMORIES
from memory_service.health import PartHealth
from memory_service.llm.model import LanguageModel
from memory_service.topics import service as topics
from memory_service.worker.embedding import EmbeddingWork
from memory_service.worker.pacing import PacedDriver
from memory_service.worker.upkeep import prune_queue_log

log = logging.getLogger(__name__)

# A new job wakes the worker (pacing.py); this only bounds how late a job due later, or one whose signal got lost, is seen.
_LOOK_EVERY = timedelta(seconds=1)
# A job whose worker has not been heard of for this long is taken over.
_TAKE_OVER_AFTER = timedelta(seconds=30)
# Jobs claimed at once; at most twice as many wait in this process, the rest stays free for other workers.
_CLAIM = 10
# After the database was away: quick at first, and never more often than it can bear.
_RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)
# Longer than one call of the embedder takes even on a busy machine, shorter than people wait after Ctrl-C.
_STOP_WITHIN_SECONDS = 1.5

# InternalClientError: what asyncpg says when a connection dies in the middle of a call. RuntimeError: the queue library's
# word for tables that are not there (yet).
_DATABASE_AWAY = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    SQLAlchemyError,
    PgqException,
    RuntimeError,
)


async def _as_it_is(_: asyncpg.Connection) -> None:
    """The queue changes nothing of a connection's session: nothing need be reset after each of its statements."""


class Worker:
    """Background work in this process, beside whatever else its event loop does."""

    def __init__(
        self, database_url: str, database: Database, embedder: BackgroundEmbedder, model: LanguageModel | None = None
    ) -> None:
        self._url = database_url
        self._database = database
        self._model = model
        self._stopping = asyncio.Event()
        self._embedding = EmbeddingWork(database, embedder, self._stopping, asyncio.Lock())
        self._queue: PgQueuer | None = None
        self._task: asyncio.Task[None] | None = None
        self._status: Literal["ok", "loading", "failed"] = "loading"
        self._detail = "connecting to the queue"

    def start(self) -> None:
        """Begin to work; returns at once."""
        self._task = asyncio.create_task(self._keep_working(), name="worker")
        self._task.add_done_callback(self._ended)

    async def close(self) -> None:
        """Finish the call at hand, give the other jobs back, stop within two seconds."""
        self._stopping.set()
        if self._queue is not None:
            self._queue.shutdown.set()
        if self._task is None:
            return
        done, _ = await asyncio.wait({self._task}, timeout=_STOP_WITHIN_SECONDS)
        if not done:
            log.warning("A job did not finish in time; another worker will take it over")
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_STOP_WITHIN_SECONDS)

    def health(self) -> PartHealth:
        """How the worker is and what it has done."""
        detail = f"{self._embedding.embedded} texts embedded since start" if self._status == "ok" else self._detail
        return PartHealth(status=self._status, detail=detail)

    async def heal(self) -> int:
        """Queue rows that wait for a vector and have no job; returns how many. The worker does so every minute."""
        return await self._embedding.heal()

    async def _keep_working(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                await self._work()
                failures = 0
            except _DATABASE_AWAY as error:
                if self._status == "ok":
                    failures = 0
                wait = _RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)]
                failures += 1
                self._status = "failed"
                self._detail = f"lost the queue ({type(error).__name__}: {error}); tries again every few seconds"
                log.warning("The worker lost the queue (%s: %s); next try in %.1f s", type(error).__name__, error, wait)
                await self._sleep(wait)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A worker that ends by an error nobody foresaw must not look alive."""
        if task.cancelled() or task.exception() is None:
            return
        self._status = "failed"
        self._detail = f"the worker ended by an error ({task.exception()!r}): restart the service, and see its log"
        log.error("The worker ended by an error", exc_info=task.exception())

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _work(self) -> None:
        """Take jobs until told to stop, or until the database goes away."""
        arguments = asyncpg_arguments(self._url)
        async with asyncpg.create_pool(**arguments, min_size=0, max_size=4, timeout=5, reset=_as_it_is) as pool:
            self._queue = self._register(PgQueuer(PacedDriver(pool)))
            if self._stopping.is_set():
                return
            self._status = "ok"
            log.info("The worker waits for jobs")
            try:
                await self._queue.run(
                    dequeue_timeout=_LOOK_EVERY,
                    batch_size=_CLAIM,
                    max_concurrent_tasks=2 * _CLAIM,
                    heartbeat_timeout=_TAKE_OVER_AFTER,
                )
            finally:
                pool.terminate()

    def _register(self, queue: PgQueuer) -> PgQueuer:
        work = self._embedding

        @queue.entrypoint(INTERACTIONS.entrypoint)
        async def embed_interactions(job: Job) -> None:
            await work.embed(job)

        @queue.entrypoint(MEMORIES.entrypoint)
        async def embed_memories(job: Job) -> None:
            await work.embed(job)

        @queue.entrypoint(topics.REFRESH_TOPICS, concurrency_limit=1)
        async def refresh_topics(job: Job) -> None:
            await topics.refresh_job(self._database, job.payload or b"{}")

        @queue.entrypoint(summarising.SUMMARISE, concurrency_limit=1)
        async def summarise_session(job: Job) -> None:
            await summarising.summarise_job(self._database, self._model, job.payload or b"{}", job.attempts)

        @queue.schedule("refresh_everyones_topics", "7 * * * *")
        async def refresh_everyones_topics(_: Schedule) -> None:
            await topics.refresh_everyone(self._database)

        @queue.schedule("heal_embeddings", "* * * * *")
        async def heal_embeddings(_: Schedule) -> None:
            await self.heal()

        @queue.schedule("prune_queue_log", "23 4 * * *")
        async def prune(_: Schedule) -> None:
            await prune_queue_log(self._database)

        return queue
