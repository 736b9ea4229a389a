"""What the commands share: settings whose mistakes are one clear line, and work over the configured database."""

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from types import FrameType

import click
from pydantic import ValidationError

from memory_service.settings import Settings


def read_settings() -> Settings:
    """The settings of this machine.

    Raises:
        click.ClickException: one of them is wrong; the message names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = [
            ": ".join(filter(None, [".".join(map(str, p["loc"])).upper(), p["msg"].removeprefix("Value error, ")]))
            for p in error.errors()
        ]
        raise click.ClickException("Settings:\n  " + "\n  ".join(lines)) from None


def run(
    work: Callable[[Settings, str], Awaitable[None]], settings: Settings, log_name: str, *, quiet: bool = False
) -> None:
    """Run `work` over the configured database with logs in place; problems become one clear line.

    Args:
        log_name: name of the log file.
        quiet: show warnings alone on the console; the file gets everything.
    """
    from memory_service.embedded import EmbeddedPostgresError
    from memory_service.logs import configure_logs
    from memory_service.runtime import StartError, database

    path = configure_logs(settings.logs_dir, settings.log_level, name=log_name, quiet=quiet)
    logging.getLogger(__name__).info("Logs: %s", path)

    async def main(url: str) -> None:
        await work(settings, url)

    # A polite `kill` unwinds like Ctrl-C, so that the embedded database is stopped too.
    signal.signal(signal.SIGTERM, _leave)
    try:
        with database(settings) as url:
            asyncio.run(main(url))
    except (StartError, EmbeddedPostgresError) as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        sys.exit(130)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)
