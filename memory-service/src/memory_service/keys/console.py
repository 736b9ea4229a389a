"""What `casiopy keys …` does and prints. Apart from the declarations, so that other commands start without loading it."""

import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import click
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.command_line import read_settings, run
from memory_service.errors import ServiceError, from_database
from memory_service.keys import service
from memory_service.keys.repository import operators_transaction
from memory_service.keys.schemas import Key
from memory_service.runtime import bring_up_to_date
from memory_service.settings import Settings

log = logging.getLogger(__name__)

_HEADINGS = ("KEY ID", "CREATED", "LAST USED", "REVOKED", "REQUESTS/MIN", "METADATA")


def generate(owner: str, rate_limit: int, metadata: str) -> None:
    """Make a key and print it."""
    with _refusals_said_clearly():
        notes = service.parse_metadata(metadata)

    async def work(connection: AsyncConnection) -> str:
        key, made = await service.generate(connection, owner, rate_limit=rate_limit, metadata=notes)
        log.info("Key %s was generated for owner %r, %d requests a minute", made.id, owner, rate_limit)
        return _announcement(key, made)

    _over_keys(work)


def list_keys(owner: str, as_json: bool) -> None:
    """Print the keys of `owner`."""

    async def work(connection: AsyncConnection) -> str:
        found = await service.of_owner(connection, owner)
        if as_json:
            return json.dumps([key.model_dump(mode="json") for key in found], indent=1, ensure_ascii=False)
        if not found:
            return f"{owner} has no keys. Make one: casiopy keys generate {owner}"
        return _table([_HEADINGS, *(_line(key) for key in found)])

    _over_keys(work)


def revoke(key_id: str) -> None:
    """Revoke a key and say so."""

    async def work(connection: AsyncConnection) -> str:
        key = await service.revoke(connection, key_id)
        log.info("Key %s of owner %r was revoked", key.id, key.owner_id)
        return f"The key {key.id} of {key.owner_id} is revoked: requests with it get 401 from now on."

    _over_keys(work)


def _over_keys(work: Callable[[AsyncConnection], Awaitable[str]]) -> None:
    """Run `work` in one transaction over the configured database and print what it says once that is committed."""

    async def over(_: Settings, url: str) -> None:
        # The first key is often made before the service has ever run.
        await bring_up_to_date(url)
        with _refusals_said_clearly():
            async with operators_transaction(url) as connection:
                said = await work(connection)
        click.echo(said)

    run(over, read_settings(), "keys", quiet=True)


@contextmanager
def _refusals_said_clearly() -> Iterator[None]:
    try:
        yield
    except ServiceError as error:
        raise click.ClickException(error.detail) from None
    except DBAPIError as error:
        raise click.ClickException(from_database(error).detail) from None


def _announcement(key: str, made: Key) -> str:
    return f"""\
API KEY GENERATED SUCCESSFULLY
API Key (SAVE THIS - IT WILL NOT BE SHOWN AGAIN):
  {key}

Key ID:
  {made.id}

Owner ID:
  {made.owner_id}

Rate Limit:
  {made.rate_limit} requests/minute"""


def _line(key: Key) -> tuple[str, ...]:
    def moment(value: datetime | None) -> str:
        return "-" if value is None else f"{value:%Y-%m-%d %H:%M} UTC"

    notes = json.dumps(key.metadata, ensure_ascii=False)
    return (
        str(key.id),
        moment(key.created_at),
        moment(key.last_used_at),
        moment(key.revoked_at),
        str(key.rate_limit),
        notes,
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
