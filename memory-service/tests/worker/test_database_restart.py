"""The worker and the pool come back by themselves after the database died and was started again."""

import os
import signal
from pathlib import Path

from memory_service.db import Database
from memory_service.embedded import EmbeddedPostgres
from memory_service.schema import migrate

from .bench import Bench, TinyEmbedder, statuses, store, until, working


async def test_a_killed_database_costs_nothing_but_time(open_folder: Path) -> None:
    server = EmbeddedPostgres(open_folder / "restarted", settings={"shared_buffers": "16MB"})
    url = server.start()
    await migrate(url)
    database = Database(url)
    async with working(url, database, TinyEmbedder()) as bench:
        await until(lambda: _status(bench, "ok"))
        await store(database, "ana", ["antes"])
        for _ in range(3):
            pid = server.status().pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await until(lambda: _status(bench, "failed"))
            assert "tries again" in bench.worker.health().detail
            server.start()
            await until(lambda: _status(bench, "ok"))
        await store(database, "ana", ["después"])
        await bench.worker.heal()

        async def all_done() -> bool:
            return await statuses(database, "ana") == ["done", "done"]

        await until(all_done)
    await database.close()
    server.stop()


async def _status(bench: Bench, status: str) -> bool:
    return bench.worker.health().status == status
