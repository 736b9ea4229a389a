"""A move to another model that is stopped wherever it can be stopped: nothing is lost, and a later run finishes."""

import asyncio
import logging
import shutil
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from memory_service.embeddings import reembedding
from memory_service.embeddings.reembedding import AlreadyRunning, Reembedding
from safetensors.numpy import load_file, save_file
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from .moving import Hashing, Store, command, finished

pytestmark = pytest.mark.parametrize("store", ["plain"], indirect=True)

Gates = Callable[[AsyncEngine, str], AbstractAsyncContextManager[Any]]


async def told(store: Store, number: int) -> None:
    await store.tell(*(f"gardens number {n}" for n in range(number)))
    await store.embedded()


async def third_batch(store: Store) -> int:
    """The last document of the second batch."""
    async with store.superuser.connect() as connection:
        return int(await connection.scalar(text("SELECT id FROM recall_documents ORDER BY id OFFSET 127 LIMIT 1")))


async def moved(store: Store, model: Hashing, *, clean: bool = False) -> Reembedding:
    run = Reembedding(store.database, model)
    number = await run.prepare()
    _ = [step async for step in run.embed(number)]
    await run.switch(number)
    if clean:
        _ = [step async for step in run.clean_up(number)]
    return run


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_stopped_in_the_middle_it_goes_on_where_it_was(
    store: Store, tmp_path: Path, original: Path, by: signal.Signals, gate: Gates
) -> None:
    await told(store, 150)
    if by == signal.SIGKILL:
        said = await finished(command(store.url, tmp_path, "--dry-run", model=str(original)))
        assert "From a (revision r1, 32 dimensions) to " in said
        assert ", 32 dimensions): 150 documents to embed." in said
        assert "150 vectors of a (revision r1, 32 dimensions) will be deleted at the end" in said
        assert await store.count("embedding_models") == 1
    where = f"BEFORE INSERT ON embeddings FOR EACH ROW WHEN (NEW.document_id > {await third_batch(store)})"
    async with gate(store.superuser, where) as held:
        stopped = command(store.url, tmp_path, model=str(original))
        await held.waiting()
        stopped.send_signal(by)
        said = await finished(stopped)
    assert stopped.returncode == {signal.SIGINT: 130, signal.SIGTERM: 0, signal.SIGKILL: -signal.SIGKILL}[by]
    stays = "Stopped. What is done stays done: run the command again, and it goes on from there."
    assert (stays in said) == (by != signal.SIGKILL)  # who is killed says nothing
    assert "Traceback" not in said
    assert await store.vectors(str(original)) == 128
    assert await store.count("embedding_models WHERE active AND name = 'a'") == 1
    again = command(store.url, tmp_path, "--keep-old", model=str(original))
    said = await finished(again)
    assert again.returncode == 0, said
    assert ": 22 documents to embed." in said
    assert f"Restart the service and its worker with EMBEDDING_MODEL={original}." in said
    assert await store.vectors(str(original)) == 150


async def test_killed_during_the_switch_and_during_the_deletion_a_later_run_finishes(
    store: Store, tmp_path: Path, original: Path, gate: Gates
) -> None:
    await told(store, 70)
    async with gate(store.superuser, "BEFORE UPDATE ON embedding_models FOR EACH ROW") as held:
        killed = command(store.url, tmp_path, "--keep-old", model=str(original))
        await held.waiting()
        killed.send_signal(signal.SIGKILL)
        await finished(killed)
        assert await store.vectors(str(original)) == 70
    assert await store.count("embedding_models WHERE active AND name = 'a'") == 1
    again = command(store.url, tmp_path, "--keep-old", model=str(original))
    said = await finished(again)
    assert again.returncode == 0, said
    assert ": 0 documents to embed." in said
    assert "70 vectors of a (revision r1, 32 dimensions) are kept (--keep-old)." in said
    assert await store.count(f"embedding_models WHERE active AND name = '{original}'") == 1

    # A later run without --keep-old deletes what that one kept.
    async with gate(store.superuser, "BEFORE DELETE ON embeddings FOR EACH ROW") as held:
        killed = command(store.url, tmp_path, model=str(original))
        await held.waiting()
        killed.send_signal(signal.SIGKILL)
        said = await finished(killed)
        assert (
            "70 vectors of a (revision r1, 32 dimensions) will be deleted at the end (--keep-old keeps them)." in said
        )
        assert await store.vectors("a") == 70
    last = command(store.url, tmp_path, model=str(original))
    said = await finished(last)
    assert "Deleting 70 vectors of a (revision r1, 32 dimensions)." in said
    assert "Deleted 70 vectors of other models." in said
    assert (await store.vectors("a"), await store.vectors(str(original))) == (0, 70)


async def test_other_weights_in_the_same_folder_are_another_model(store: Store, tmp_path: Path, original: Path) -> None:
    await told(store, 10)
    folder = tmp_path / "model"
    shutil.copytree(original, folder)
    first = command(store.url, tmp_path, "--keep-old", model=str(folder))
    assert ": 10 documents to embed." in await finished(first)
    weights = load_file(folder / "model.safetensors")
    name = next(one for one in weights if one.endswith("word_embeddings.weight"))
    save_file(weights | {name: (-weights[name]).astype(np.float32)}, folder / "model.safetensors", {"format": "pt"})
    second = command(store.url, tmp_path, "--keep-old", model=str(folder))
    said = await finished(second)
    assert ": 10 documents to embed." in said
    assert "Switched over" in said
    assert await store.count(f"embedding_models WHERE name = '{folder}'") == 2
    assert await store.vectors(str(folder)) == 20


async def test_a_full_disk_is_said_and_nothing_is_lost(store: Store, tmp_path: Path, original: Path) -> None:
    await told(store, 150)
    async with store.superuser.begin() as connection:
        await connection.execute(
            text("""
            CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'could not extend file "base/1/2": No space left on device' USING ERRCODE = '53100'; END $$
        """)
        )
        await connection.execute(text(
            "CREATE TRIGGER full_disk BEFORE INSERT ON embeddings FOR EACH ROW "
            f"WHEN (NEW.document_id > {await third_batch(store)}) EXECUTE FUNCTION full_disk()"
        ))  # fmt: skip
    stopped = command(store.url, tmp_path, model=str(original))
    said = await finished(stopped)
    assert stopped.returncode == 1
    assert 'disk is full (could not extend file "base/1/2": No space left on device). Make room' in said
    assert "run the command again" in said
    assert "Traceback" not in said
    assert (await store.vectors("a"), await store.vectors(str(original))) == (150, 128)
    assert await store.recalled()
    async with store.superuser.begin() as connection:
        await connection.execute(text("DROP TRIGGER full_disk ON embeddings"))
    again = command(store.url, tmp_path, "--keep-old", model=str(original))
    assert ": 22 documents to embed." in await finished(again)
    assert await store.vectors(str(original)) == 150


async def test_what_is_written_changed_and_deleted_meanwhile_ends_under_the_new_model(store: Store) -> None:
    await told(store, 150)
    remembered = [(await store.remember(f"likes gardens {n}")) for n in range(5)]
    await store.embedded()
    said = (
        (await store.http.get("/interactions", params={"user_id": "v", "limit": 100}))
        .raise_for_status()
        .json()["items"]
    )
    run = Reembedding(store.database, Hashing("b", 48))
    model = await run.prepare()
    steps = run.embed(model)
    await anext(steps)
    # Of those that have their new vector already and of those that have not.
    for one in (said[0], said[-1]):
        (await store.http.delete(f"/interactions/{one['id']}")).raise_for_status()
    for one in (said[1], said[-2]):
        (await store.http.put(f"/interactions/{one['id']}/quality", json={"quality_score": 0.9})).raise_for_status()
    (await store.http.delete(f"/api/v1/memory/{remembered[0]}")).raise_for_status()
    await store.tell("gardens in between", "more gardens in between")
    assert await store.count("interactions WHERE embedding_status = 'done'") >= 148
    async for _ in steps:
        pass
    await store.tell("gardens at last")
    await run.switch(model)
    lacking = f"""
        recall_documents AS d
        LEFT JOIN interactions AS i ON i.id = d.interaction_id LEFT JOIN memories AS m ON m.id = d.memory_id
        WHERE coalesce(i.embedding_status, m.embedding_status) <> 'pending'
          AND NOT EXISTS (SELECT FROM embeddings WHERE document_id = d.id AND model_id = {model})
    """
    assert await store.count(lacking) == 0
    assert await store.count("interactions WHERE embedding_status = 'pending'") <= 1
    documents = await store.count("recall_documents")
    assert documents == 150 - 2 + 3 + 5 - 1
    pending = await store.count("interactions WHERE embedding_status = 'pending'")
    assert await store.vectors("b") == documents - pending


async def test_rows_that_wait_for_the_active_model_wait_on(store: Store) -> None:
    """The switch may be days away, or never come: until then it is the active model's vectors that are searched."""
    await told(store, 3)
    async with store.superuser.begin() as connection:
        await connection.execute(text("UPDATE interactions SET embedding_status = 'failed'"))
    run = Reembedding(store.database, Hashing("b", 48))
    model = await run.prepare()
    _ = [step async for step in run.embed(model)]
    assert await store.count("interactions WHERE embedding_status = 'failed'") == 3
    await run.switch(model)
    assert await store.count("interactions WHERE embedding_status = 'done'") == 3


async def test_a_switch_that_is_given_up_for_a_deletion_is_carried_out_again(
    store: Store, caplog: pytest.LogCaptureFixture, gate: Gates
) -> None:
    await told(store, 5)
    run = Reembedding(store.database, Hashing("b", 48))
    model = await run.prepare()
    _ = [step async for step in run.embed(model)]
    await store.tell("gardens at last")
    await store.remember("likes gardens")
    await store.embedded()
    delete = "DELETE FROM {0} WHERE id IN (SELECT {1} FROM recall_documents ORDER BY id DESC LIMIT 2)"
    with caplog.at_level(logging.INFO):
        # The switch has marked the exchange and not yet the memory; the deletion waits for the exchange first.
        async with gate(store.superuser, "BEFORE UPDATE ON memories FOR EACH STATEMENT") as held:
            async with store.superuser.begin() as deletion:
                await deletion.execute(text("SET LOCAL deadlock_timeout = '1min'"))  # so the switch is given up
                # The other way round than the switch goes, which marks exchanges first.
                await deletion.execute(text(delete.format("memories", "memory_id")))
                switching = asyncio.create_task(run.switch(model))
                await held.waiting()
                exchange = text("DELETE FROM interactions WHERE input_text = 'gardens at last'")
                deleting = asyncio.create_task(deletion.execute(exchange))
                await held.waiting(2)
                await held.open()
                await deleting
            assert await switching == 0
    assert "gave a transaction up for another one; it is carried out again" in caplog.text
    assert "deadlock detected" in caplog.text
    assert await store.count("embedding_models WHERE active AND name = 'b'") == 1


async def test_going_back_after_a_deletion_that_was_cut_off_makes_long_texts_whole_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.tell(*(" ".join(f"Sentence {n} of walk {m} under old trees." for n in range(40)) for m in range(6)))
    await store.embedded()
    before = await store.vectors("a")
    assert before > 12
    run = await moved(store, Hashing("b", 48))
    monkeypatch.setattr(reembedding, "_AT_ONCE", 3)
    steps = run.clean_up(2)
    assert 0 < (await anext(steps)).deleted < before
    await steps.aclose()
    await moved(store, Hashing("a", 32), clean=True)
    assert (await store.vectors("a"), await store.vectors("b")) == (before, 0)


async def test_an_index_whose_removal_was_cut_off_is_built_again(store: Store) -> None:
    await told(store, 3)
    run = await moved(store, Hashing("b", 48))
    async with store.superuser.begin() as connection:
        await connection.execute(text(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_embeddings_model_1'::regclass"
        ))  # fmt: skip
    await moved(store, Hashing("a", 32))
    assert (
        await store.count(
            "pg_index JOIN pg_class ON oid = indexrelid WHERE relname ~ '^ix_embeddings_model_' AND indisvalid"
        )
        == 2
    )
    assert await run.left() == 0


async def test_one_run_at_a_time(store: Store) -> None:
    run = Reembedding(store.database, Hashing("b", 48))
    other = Reembedding(store.database, Hashing("c", 16))
    async with run.alone():
        with pytest.raises(AlreadyRunning, match="Wait until it is done, or stop it"):
            async with other.alone():
                pass
    async with other.alone():
        pass


async def test_the_same_weights_under_another_name_have_nothing_left_to_embed(store: Store) -> None:
    await told(store, 3)
    renamed = Hashing("b", 32)
    renamed.revision = "r1"
    assert (await Reembedding(store.database, renamed).left(), await Reembedding(store.database, renamed).others()) == (
        0,
        [],
    )
    renamed.revision = "r2"
    assert await Reembedding(store.database, renamed).left() == 3
