"""`casiopy reembed`."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import click

from memory_service.command_line import read_settings, run
from memory_service.settings import Settings

if TYPE_CHECKING:
    from memory_service.embeddings.reembedding import Reembedding, Step

_SAY_EVERY_SECONDS = 5.0
# PostgreSQL's error code.
_DISK_FULL = "53100"
_RESUMES = "What is done stays done: run the command again, and it goes on from there."


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option(
    "--keep-old",
    is_flag=True,
    help="Delete no vectors: going back is then quick. A later run without it deletes them.",
)
def reembed(dry_run: bool, keep_old: bool) -> None:
    """Make all vectors anew with EMBEDDING_MODEL, while the service runs. Can be stopped and repeated.

    In the end the vectors of every other model are deleted, also those that an earlier run kept.
    """

    async def work(settings: Settings, url: str) -> None:
        await _reembed(settings, url, dry_run=dry_run, keep_old=keep_old)

    run(work, read_settings(), "reembed", quiet=True)


async def _reembed(settings: Settings, url: str, *, dry_run: bool, keep_old: bool) -> None:
    import asyncpg
    from sqlalchemy.exc import SQLAlchemyError

    from memory_service.embeddings.embedder import EMBEDDING_ERRORS, EmbedderUnavailable
    from memory_service.embeddings.loading import load
    from memory_service.embeddings.reembedding import AlreadyRunning, Reembedding
    from memory_service.embeddings.registry import ModelMismatch
    from memory_service.encryption.store import WrongKey, open_database, unlock
    from memory_service.encryption.types import UnreadableText
    from memory_service.runtime import StartError, bring_up_to_date

    await bring_up_to_date(url)
    # One connection holds the run's lock.
    database = open_database(settings, url, pool_size=3)
    try:
        await unlock(database)
        try:
            embedder = await asyncio.to_thread(
                load, settings.embedding_model, settings.embedding_threads, settings.embedding_precision
            )
        except (OSError, *EMBEDDING_ERRORS) as error:
            raise StartError(f"EMBEDDING_MODEL={settings.embedding_model} could not be loaded: {error}") from error
        moving = Reembedding(database, embedder)
        if dry_run:
            await _announce(moving, keep_old=keep_old)
            click.echo("Nothing was changed.")
            return
        async with moving.alone():
            await _move(moving, keep_old=keep_old)
    except (EmbedderUnavailable, ModelMismatch, WrongKey, UnreadableText, AlreadyRunning) as error:
        raise StartError(str(error)) from None
    except (SQLAlchemyError, OSError, asyncpg.PostgresError, asyncpg.InternalClientError) as error:
        raise StartError(_refused(error)) from error
    except asyncio.CancelledError:
        click.echo(f"\nStopped. {_RESUMES}", err=True)
        raise
    finally:
        await database.close()


def _refused(error: Exception) -> str:
    """What the database would not do, and what to do about it."""
    cause = getattr(error, "orig", None) or error
    said = (str(cause).splitlines() or [type(cause).__name__])[0].split(">: ")[-1]
    if getattr(cause, "sqlstate", None) == _DISK_FULL:
        return (
            f"The database's disk is full ({said}). Make room: until the old vectors are deleted, both models' vectors take "
            f"their space. {_RESUMES}"
        )
    return f"The database refused: {said}. {_RESUMES}"


async def _announce(moving: "Reembedding", *, keep_old: bool) -> int:
    """Say what is about to happen; returns how many documents there are to embed."""
    from memory_service.embeddings.registry import active_model, described

    left = await moving.left()
    async with moving.database.unowned() as connection:
        before = await active_model(connection)
    was = described(before) if before else "no model"
    click.echo(f"From {was} to {described(moving.embedder)}: {left} documents to embed.")
    for other, vectors in await moving.others():
        does = "are kept (--keep-old)" if keep_old else "will be deleted at the end (--keep-old keeps them)"
        click.echo(f"{vectors} vectors of {described(other)} {does}.")
    return left


async def _move(moving: "Reembedding", *, keep_old: bool) -> None:
    from memory_service.embeddings.background import NOTICED_WITHIN_SECONDS
    from memory_service.embeddings.registry import active_model

    async with moving.database.unowned() as connection:
        before = await active_model(connection)
    left = await _announce(moving, keep_old=keep_old)
    model_id = await moving.prepare()
    await _told(moving.embed(model_id), left)
    waiting = await moving.switch(model_id)
    if before is None or before.id != model_id:
        click.echo(f"Switched over. Restart the service and its worker with EMBEDDING_MODEL={moving.embedder.name}.")
        if waiting:
            click.echo(f"{waiting} documents were written meanwhile; the restarted worker embeds them.")
        if not keep_old:
            await asyncio.sleep(NOTICED_WITHIN_SECONDS)  # until no service searches the old vectors
    if failed := sum(map(len, moving.failed.values())):
        click.echo(f"{failed} texts could not be embedded and are found by words alone; see the log.", err=True)
    if not keep_old:
        await _clean_up(moving, model_id)


async def _clean_up(moving: "Reembedding", model_id: int) -> None:
    from memory_service.embeddings.registry import described

    for other, vectors in await moving.others():
        click.echo(f"Deleting {vectors} vectors of {described(other)}.")
    deleted = 0
    async for step in moving.clean_up(model_id):
        deleted += step.deleted
    click.echo(f"Deleted {deleted} vectors of other models.")


async def _told(steps: AsyncIterator["Step"], total: int) -> None:
    """Take `steps`, saying now and then how far it is."""
    started = said = time.monotonic()
    done = 0
    async for step in steps:
        done += step.embedded + step.failed
        now = time.monotonic()
        if now - said >= (0.5 if sys.stderr.isatty() else _SAY_EVERY_SECONDS):
            said = now
            rate = done / (now - started)
            left = max(total - done, 0) / rate if rate else 0
            line = f"{done} of {max(total, done)} documents, {rate:.0f}/s, {left:.0f} s left"
            # On a terminal the line is written over.
            click.echo(f"\r{line}  " if sys.stderr.isatty() else line, err=True, nl=not sys.stderr.isatty())
    if done:
        click.echo(f"\n{done} documents in {time.monotonic() - started:.1f} s.", err=True)
