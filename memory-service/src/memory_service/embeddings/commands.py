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


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--keep-old", is_flag=True, help="Keep the old model's vectors: going back is then quick.")
def reembed(dry_run: bool, keep_old: bool) -> None:
    """Make all vectors anew with EMBEDDING_MODEL, while the service runs. Can be stopped and repeated."""

    async def work(settings: Settings, url: str) -> None:
        await _reembed(settings, url, dry_run=dry_run, keep_old=keep_old)

    run(work, read_settings(), "reembed", quiet=True)


async def _reembed(settings: Settings, url: str, *, dry_run: bool, keep_old: bool) -> None:
    from sqlalchemy.exc import DBAPIError

    from memory_service.embeddings.embedder import EmbedderUnavailable
    from memory_service.embeddings.loading import load
    from memory_service.embeddings.reembedding import Reembedding
    from memory_service.embeddings.registry import ModelMismatch
    from memory_service.encryption.store import WrongKey, open_database, unlock
    from memory_service.encryption.types import UnreadableText
    from memory_service.runtime import StartError, bring_up_to_date

    await bring_up_to_date(url)
    database = open_database(settings, url, pool_size=2)
    try:
        await unlock(database)
        embedder = await asyncio.to_thread(load, settings.embedding_model, settings.embedding_threads)
        await _move(Reembedding(database, embedder), dry_run=dry_run, keep_old=keep_old)
    except (EmbedderUnavailable, ModelMismatch, WrongKey, UnreadableText) as error:
        raise StartError(str(error)) from None
    except (DBAPIError, ConnectionError) as error:
        cause = getattr(error, "orig", None) or error
        raise StartError(f"The database refused: {cause}. What is done stays done: run the command again.") from None
    finally:
        await database.close()


async def _move(moving: "Reembedding", *, dry_run: bool, keep_old: bool) -> None:
    from memory_service.embeddings.background import NOTICED_WITHIN_SECONDS
    from memory_service.embeddings.registry import active_model

    model = moving.embedder
    left = await moving.left()
    async with moving.database.unowned() as connection:
        before = await active_model(connection)
    was = before.name if before else "no model"
    click.echo(f"From {was} to {model.name} ({model.dimension} dimensions): {left} documents to embed.")
    if dry_run:
        click.echo("Nothing was changed.")
        return
    model_id = await moving.prepare()
    await _told(moving.embed(model_id), left)
    if before is None or before.id != model_id:
        waiting = await moving.switch(model_id)
        click.echo(f"Switched over. Restart the service and its worker with EMBEDDING_MODEL={model.name}.")
        if waiting:
            click.echo(f"{waiting} documents were written meanwhile; the restarted worker embeds them.")
        if not keep_old:
            await asyncio.sleep(NOTICED_WITHIN_SECONDS)  # until no service searches the old vectors
    if failed := sum(map(len, moving.failed.values())):
        click.echo(f"{failed} texts could not be embedded and are found by words alone; see the log.", err=True)
    if not keep_old:
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
