"""The worker over a real queue: every text gets its vector once, and nothing is lost whatever goes wrong."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from memory_service.db import Database
from memory_service.embeddings.queue import enqueue_embedding
from memory_service.worker import Worker, repository, worker
from memory_service.worker.upkeep import prune_queue_log
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from .bench import Bench, TinyEmbedder, jobs, statuses, store, until, vectors, working


@pytest.fixture(autouse=True)
async def _empty_queue(superuser: AsyncEngine) -> None:
    async with superuser.begin() as connection:
        for table in ("pgqueuer", "pgqueuer_log", "pgqueuer_schedules", "owners", "embedding_models"):
            await connection.execute(text(f"DELETE FROM {table}"))


async def test_what_is_stored_gets_a_vector_of_its_owner(migrated_url: str, database: Database) -> None:
    async with working(migrated_url, database, TinyEmbedder()) as bench:
        await store(database, "ana", ["uno", "dos"])
        await store(database, "bea", ["tres"])

        async def both() -> bool:
            return [await vectors(database, "ana"), await vectors(database, "bea")] == [2, 1]

        await until(both)
        assert await statuses(database, "ana") == ["done", "done"]
        assert bench.worker.health().status == "ok"
        await until(lambda: _said(bench, "3 texts embedded"))  # counted when the commit is known here, a moment later


async def test_small_jobs_become_one_batch(migrated_url: str, database: Database) -> None:
    model = TinyEmbedder()
    for number in range(20):
        await store(database, "ana", [f"text {number}"])
    async with working(migrated_url, database, model):
        await until(lambda: _all_done(database, "ana"))
    assert [len(call) for call in model.calls] == [20]


async def test_jobs_that_wait_for_the_model_are_looked_for_once(
    migrated_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    waiting = repository.waiting

    async def counted(*given: Any) -> Any:
        nonlocal looks
        looks += 1
        return await waiting(*given)

    monkeypatch.setattr(repository, "waiting", counted)
    for number in range(8):
        await store(database, "ana", [f"text {number}"])
    model = TinyEmbedder()
    async with working(migrated_url, database, model, loaded=False):
        await until(lambda: _all_picked(database))
        model.gate.set()
        await until(lambda: _no_jobs(database))
    assert await statuses(database, "ana") == ["done"] * 8
    assert looks == 1


async def test_a_batch_that_was_not_stored_is_made_again_by_the_jobs_that_counted_on_it(
    migrated_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = repository.store
    failures = ["the disk is full"]

    async def fails_once(*given: Any) -> None:
        if failures:
            raise OSError(failures.pop())
        await keep(*given)

    monkeypatch.setattr(repository, "store", fails_once)
    await store(database, "ana", ["uno"])
    await store(database, "ana", ["dos"])
    model = TinyEmbedder()
    async with working(migrated_url, database, model, loaded=False):
        await until(lambda: _all_picked(database))
        model.gate.set()
        await until(lambda: _no_jobs(database))
    assert await statuses(database, "ana") == ["done", "done"]
    assert sorted(map(sorted, model.calls)) == [["dos", "uno"], ["dos", "uno"]]


async def test_jobs_are_done_in_the_order_of_storing_however_the_queue_hands_them_out(
    migrated_url: str, database: Database
) -> None:
    model = TinyEmbedder()
    texts = [f"text {number:03}" for number in range(200)]
    ids = await store(database, "ana", texts, enqueue=False)
    in_order = [said for _, said in sorted(zip(ids, texts, strict=True))]
    async with database.transaction("ana") as connection:
        for start in (128, 0, 192, 64):
            await enqueue_embedding(connection, "ana", sorted(ids)[start : start + 64])
    async with working(migrated_url, database, model, loaded=False):
        await until(lambda: _all_picked(database))
        model.gate.set()
        await until(lambda: _all_done(database, "ana"))
    assert [sorted(call) for call in model.calls] == [sorted(in_order[at : at + 64]) for at in range(0, 200, 64)]


async def test_each_owner_has_batches_of_its_own(migrated_url: str, database: Database) -> None:
    for number in range(3):
        for owner in ("ana", "bea"):
            await store(database, owner, [f"{owner} {number}"])
    model = TinyEmbedder()
    async with working(migrated_url, database, model):
        await until(lambda: _no_jobs(database))
    assert all(len({text.split()[0] for text in call}) == 1 for call in model.calls)
    assert sum(map(len, model.calls)) == 6
    assert await statuses(database, "ana") == await statuses(database, "bea") == ["done"] * 3


async def test_more_rows_than_a_batch_are_embedded_once_each(migrated_url: str, database: Database) -> None:
    await store(database, "ana", [f"{number:03}" for number in range(150)])
    for number in range(5):
        await store(database, "ana", [f"later {number}"])
    model = TinyEmbedder()
    async with working(migrated_url, database, model):
        await until(lambda: _no_jobs(database))
    assert set(await statuses(database, "ana")) == {"done"}
    assert sorted(text for call in model.calls for text in call) == sorted(
        [f"{number:03}" for number in range(150)] + [f"later {number}" for number in range(5)]
    )
    assert max(map(len, model.calls)) == 64


async def test_a_job_that_runs_twice_changes_nothing(migrated_url: str, database: Database) -> None:
    ids = await store(database, "ana", ["uno"])
    async with database.transaction("ana") as connection:
        await enqueue_embedding(connection, "ana", ids)
    async with working(migrated_url, database, TinyEmbedder()):
        await until(lambda: _no_jobs(database))
    assert await vectors(database, "ana") == 1


async def test_interactions_erased_in_the_meantime_are_no_error(migrated_url: str, database: Database) -> None:
    async with database.transaction("ana") as connection:
        await enqueue_embedding(connection, "ana", [uuid4()])
    await store(database, "bea", ["uno"])
    async with working(migrated_url, database, TinyEmbedder()):
        await until(lambda: _all_done(database, "bea"))
        await until(lambda: _no_jobs(database))
    async with database.unowned() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM pgqueuer_log WHERE status = 'exception'")) == 0


async def test_a_text_that_cannot_be_embedded_fails_alone(
    migrated_url: str, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await store(database, "ana", ["a", "b poison", "c"])
    async with working(migrated_url, database, TinyEmbedder()):
        await until(lambda: _no_jobs(database))
    assert await statuses(database, "ana") == ["done", "failed", "done"]
    assert await vectors(database, "ana") == 2
    assert "cannot be embedded" in caplog.text
    assert "b poison" not in caplog.text.replace("cannot embed poison", "")


async def test_work_waits_for_a_model_that_is_still_loading(migrated_url: str, database: Database) -> None:
    await store(database, "ana", ["uno"])
    model = TinyEmbedder()
    async with working(migrated_url, database, model, loaded=False):
        await until(lambda: _picked(database))
        assert await statuses(database, "ana") == ["pending"]
        model.gate.set()
        await until(lambda: _all_done(database, "ana"))


async def test_without_a_model_rows_stay_pending_and_are_healed_later(migrated_url: str, database: Database) -> None:
    async with working(migrated_url, database, TinyEmbedder(revision="r1")):
        await store(database, "ana", ["uno"])
        await until(lambda: _all_done(database, "ana"))
    await store(database, "ana", ["dos"])
    async with working(migrated_url, database, TinyEmbedder(revision="other")) as bench:
        await until(lambda: _no_jobs(database))
        assert bench.embedder.health().status == "failed"
        assert await bench.worker.heal() == 0
    assert await statuses(database, "ana") == ["pending", "done"]
    async with working(migrated_url, database, TinyEmbedder(revision="r1"), started=False) as bench:
        await bench.embedder.decided()
        assert await bench.worker.heal() == 1
        bench.worker.start()
        await until(lambda: _all_done(database, "ana"))


async def test_healing_leaves_rows_alone_that_have_a_job(migrated_url: str, database: Database) -> None:
    async with working(migrated_url, database, TinyEmbedder(), started=False) as bench:
        await bench.embedder.decided()
        await store(database, "ana", ["uno"])
        assert await bench.worker.heal() == 0
        assert await jobs(database) == ["queued"]


@pytest.fixture
def time_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no reason to leave a job to another worker."""
    monkeypatch.setattr(worker, "_STOP_WITHIN_SECONDS", 60.0)


@pytest.mark.usefixtures("time_to_stop")
async def test_stopping_gives_the_work_back(migrated_url: str, database: Database) -> None:
    await store(database, "ana", [f"{number:02}" for number in range(64)])
    async with working(migrated_url, database, TinyEmbedder(), let=False) as bench:
        await until(lambda: _called(bench.model))
        await bench.worker.close()
    assert await jobs(database) == ["queued"]
    assert set(await statuses(database, "ana")) == {"pending"}
    async with working(migrated_url, database, TinyEmbedder()):
        await until(lambda: _all_done(database, "ana"))


@pytest.mark.usefixtures("time_to_stop")
async def test_stopping_does_not_wait_for_a_long_call_of_the_model(
    migrated_url: str, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await store(database, "ana", ["a paste of many pages"])
    async with working(migrated_url, database, TinyEmbedder(), let=False) as bench:
        await until(lambda: _called(bench.model))
        await bench.worker.close()
        assert bench.model.busy
    assert "did not finish in time" not in caplog.text
    assert await jobs(database) == ["queued"]
    assert await statuses(database, "ana") == ["pending"]


async def test_the_job_of_a_worker_that_died_is_taken_over(
    migrated_url: str, database: Database, superuser: AsyncEngine
) -> None:
    await store(database, "ana", ["uno"])
    async with superuser.begin() as connection:
        await connection.execute(
            text("""
                UPDATE pgqueuer SET status = 'picked', queue_manager_id = gen_random_uuid(),
                                    heartbeat = now() - interval '31 seconds', updated = now() - interval '31 seconds'
            """)
        )
    async with working(migrated_url, database, TinyEmbedder()):
        await until(lambda: _all_done(database, "ana"))


async def test_old_rows_of_the_queues_log_are_deleted(database: Database, superuser: AsyncEngine) -> None:
    async with superuser.begin() as connection:
        await connection.execute(
            text("""
                INSERT INTO pgqueuer_log (created, job_id, status, priority, entrypoint)
                SELECT now() - age, 1, 'successful', 0, 'x'
                FROM unnest(ARRAY[interval '8 days', interval '6 days']) AS age
            """)
        )
    assert await prune_queue_log(database) == 1
    assert await prune_queue_log(database) == 0


async def _all_done(database: Database, owner: str) -> bool:
    return set(await statuses(database, owner)) == {"done"}


async def _no_jobs(database: Database) -> bool:
    return await jobs(database) == []


async def _picked(database: Database) -> bool:
    return await jobs(database) == ["picked"]


async def _all_picked(database: Database) -> bool:
    return set(await jobs(database)) == {"picked"}


async def _called(model: TinyEmbedder) -> bool:
    await asyncio.sleep(0)
    return bool(model.calls)


async def test_a_worker_that_ends_by_an_unforeseen_error_says_so(
    migrated_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: Worker) -> None:
        raise KeyError("nobody foresaw this")

    monkeypatch.setattr(Worker, "_work", broken)
    async with working(migrated_url, database, TinyEmbedder()) as bench:
        await until(lambda: _failed(bench))
        assert "restart the service" in bench.worker.health().detail


async def _said(bench: Bench, words: str) -> bool:
    return words in bench.worker.health().detail


async def _failed(bench: Bench) -> bool:
    return bench.worker.health().status == "failed"
