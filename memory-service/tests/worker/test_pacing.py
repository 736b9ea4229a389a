"""News of the queue is told at once, then gathered for a moment; nothing else is held back."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from memory_service.db import Database, asyncpg_arguments
from memory_service.worker import pacing, worker
from memory_service.worker.pacing import PacedDriver

from .bench import TinyEmbedder, jobs, store, until, working

CHANNEL = "test_pacing"
Paced: Any = pacing._Paced


def _news(number: int) -> str:
    event = {
        "channel": CHANNEL,
        "operation": "insert",
        "sent_at": f"2026-01-01T00:00:{number:02}Z",
        "table": "pgqueuer",
    }
    return json.dumps(event | {"type": "table_changed_event"})


def _cancellation() -> str:
    return json.dumps({"channel": CHANNEL, "sent_at": "2026-01-01T00:00:00Z", "type": "cancellation_event", "ids": [1]})


async def test_a_burst_is_told_twice_and_the_next_news_at_once(
    migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[Paced] = []
    monkeypatch.setattr(pacing, "PAUSE_SECONDS", 3600.0)  # until the test ends it
    monkeypatch.setattr(pacing, "_Paced", lambda callback: pauses.append(Paced(callback)) or pauses[-1])
    heard: list[str | bytes | bytearray] = []
    async with asyncpg.create_pool(**asyncpg_arguments(migrated_url), min_size=0, max_size=2) as pool:
        driver = PacedDriver(pool)
        async with driver:
            await driver.add_listener(CHANNEL, heard.append)
            for number in range(5):
                await driver.notify(CHANNEL, _news(number))
            await driver.notify(CHANNEL, _cancellation())
            await _until(lambda: len(heard) == 2)
            assert heard == [_news(0), _cancellation()]
            (pause,) = pauses
            pause._end_pause()
            assert heard[2:] == [_news(4)]
            pause._end_pause()
            assert heard[3:] == []
            await driver.notify(CHANNEL, _news(6))
            await _until(lambda: heard[3:] == [_news(6)])


async def test_a_pause_ends_by_itself(migrated_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "PAUSE_SECONDS", 0.05)
    heard: list[str | bytes | bytearray] = []
    async with asyncpg.create_pool(**asyncpg_arguments(migrated_url), min_size=0, max_size=2) as pool:
        driver = PacedDriver(pool)
        async with driver:
            await driver.add_listener(CHANNEL, heard.append)
            for number in range(3):
                await driver.notify(CHANNEL, _news(number))
            await _until(lambda: heard[-1:] == [_news(2)])


async def test_a_job_stored_during_the_pause_is_done_after_it(
    migrated_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue itself would look again only after an hour."""
    monkeypatch.setattr(pacing, "PAUSE_SECONDS", 0.3)
    monkeypatch.setattr(worker, "_LOOK_EVERY", timedelta(hours=1))
    model = TinyEmbedder()
    async with working(migrated_url, database, model) as bench:
        await bench.embedder.decided()
        await store(database, "ana", ["first"])
        await until(lambda: _called(model, 1))
        await store(database, "ana", ["second"])
        await until(lambda: _called(model, 2))
        await until(lambda: _no_jobs(database))


async def _called(model: TinyEmbedder, times: int) -> bool:
    return len(model.calls) == times


async def _no_jobs(database: Database) -> bool:
    return await jobs(database) == []


async def _until(true: Callable[[], bool]) -> None:
    async def asked() -> bool:
        return true()

    await until(asked)
