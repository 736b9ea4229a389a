"""The service's commands, shown by `casiopy` and `python -m memory_service`."""

import json
import socket
from pathlib import Path

import click

from memory_service.backup import backup_commands
from memory_service.command_line import read_settings, run
from memory_service.embeddings.commands import reembed
from memory_service.encryption.commands import encryption_key, reencrypt
from memory_service.env_example import render_env_example
from memory_service.keys.commands import keys
from memory_service.settings import Settings


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

    settings = read_settings()
    _require_free_port(settings.api_host, settings.api_port)
    run(run_service, settings, "memory_service")


@click.command()
def worker() -> None:
    """Run the background work in a process of its own (start the service with WORKER_IN_PROCESS=false)."""
    from memory_service.worker import run as run_worker

    run(run_worker, read_settings(), "worker")


@click.command()
def migrate() -> None:
    """Bring the database to this release's schema and fill an empty core memory."""
    from memory_service.runtime import prepare

    run(prepare, read_settings(), "migrate")
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


commands: list[click.Command] = [
    serve,
    worker,
    migrate,
    schema_sql,
    openapi,
    env_example,
    keys,
    encryption_key,
    reencrypt,
    reembed,
    *backup_commands,
]


def main() -> None:
    """Entry point of `python -m memory_service`."""
    click.Group("memory_service", commands={command.name or "": command for command in commands})()
