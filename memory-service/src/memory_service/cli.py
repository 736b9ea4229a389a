"""The service's commands, shown by `casiopy` and `python -m memory_service`."""

import asyncio
import json
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType

import click
from pydantic import ValidationError

from memory_service.backup import backup_commands
from memory_service.env_example import render_env_example
from memory_service.settings import Settings


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        lines = [
            ": ".join(filter(None, [".".join(map(str, p["loc"])).upper(), p["msg"].removeprefix("Value error, ")]))
            for p in error.errors()
        ]
        raise click.ClickException("Settings:\n  " + "\n  ".join(lines)) from None


def _run(work: Callable[[Settings, str], Awaitable[None]], settings: Settings, log_name: str) -> None:
    """Run `work` over the configured database with logs in place; problems become one clear line."""
    from memory_service.embedded import EmbeddedPostgresError
    from memory_service.logs import configure_logs
    from memory_service.runtime import StartError, database

    path = configure_logs(settings.logs_dir, settings.log_level, name=log_name)
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


def _require_free_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise click.ClickException(
                f"Cannot listen on {host}:{port} ({error.strerror}). Is the service running already? Otherwise set API_PORT."
            ) from None


@click.command()
def serve() -> None:
    """Start the memory service (and the embedded database where DATABASE_URL is not set)."""
    from memory_service.runtime import serve as run_service

    settings = _settings()
    _require_free_port(settings.api_host, settings.api_port)
    _run(run_service, settings, "memory_service")


@click.command()
def worker() -> None:
    """Run the background work in a process of its own (start the service with WORKER_IN_PROCESS=false)."""
    from memory_service.worker import run as run_worker

    _run(run_worker, _settings(), "worker")


@click.command()
def migrate() -> None:
    """Bring the database to this release's schema and fill an empty core memory."""
    from memory_service.runtime import prepare

    _run(prepare, _settings(), "migrate")
    click.echo("The database is up to date.")


@click.command("schema-sql")
def schema_sql() -> None:
    """Print the whole schema as SQL (the content of init-scripts/01_init_schema.sql)."""
    from memory_service.schema import schema_sql as render_schema

    click.echo(render_schema(), nl=False)


@click.command()
def openapi() -> None:
    """Print the OpenAPI document of the HTTP interface."""
    from memory_service.app import create_app

    document = create_app(Settings(_env_file=None), "postgresql:///nothing").openapi()
    click.echo(json.dumps(document, indent=1, ensure_ascii=False))


@click.command("env-example")
@click.option("--output", type=click.Path(path_type=Path), help="Write there instead of printing.")
def env_example(output: Path | None) -> None:
    """Print every setting with its default and meaning, as a .env file."""
    text = render_env_example()
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
        click.echo(f"Wrote {output}")


commands: list[click.Command] = [serve, worker, migrate, schema_sql, openapi, env_example, *backup_commands]


def main() -> None:
    """Entry point of `python -m memory_service`."""
    click.Group("memory_service", commands={command.name or "": command for command in commands})()
