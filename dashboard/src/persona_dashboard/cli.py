"""`casiopy dashboard`: serve the pages until Ctrl-C or SIGTERM."""

from __future__ import annotations

import errno
import signal
import sys
from types import FrameType

import click
from waitress.server import create_server

from persona_dashboard import create_app
from persona_dashboard.doors import EXTENSION
from persona_dashboard.settings import WILDCARDS, Settings, SettingsError, load_settings

# MOST_STREAMS (8) of them may follow runs; the rest answers pages, which wait for the memory service at most.
THREADS = 16


class Unstartable(click.ClickException):
    """The dashboard cannot listen where it was told to."""


@click.command()
@click.option("--host", help="Address to listen on instead of DASHBOARD_HOST.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on instead of DASHBOARD_PORT.")
def dashboard(host: str | None, port: int | None) -> None:
    """Serve the dashboard in the browser (http://127.0.0.1:5000)."""
    try:
        settings = load_settings()
    except SettingsError as failure:
        raise Unstartable(str(failure)) from failure
    chosen = {"dashboard_host": host, "dashboard_port": port}
    serve(settings.model_copy(update={name: value for name, value in chosen.items() if value}))


def serve(settings: Settings) -> None:
    """Listen, print the address, and serve until told to stop; raises `Unstartable` with what to do."""
    app = create_app(settings)
    try:
        server = create_server(
            app,
            host=settings.dashboard_host,
            port=settings.dashboard_port,
            threads=THREADS,
            channel_request_lookahead=1,  # lets a stream notice that its browser has gone
            ident="casiopy-dashboard",
        )
    except OSError as failure:
        raise Unstartable(_why_not(settings, failure)) from failure
    except ValueError as failure:
        raise Unstartable(f"DASHBOARD_HOST={settings.dashboard_host} is not an address of this machine.") from failure
    _announce(settings)
    streams = app.extensions[EXTENSION].streams

    def leave(_number: int, _frame: FrameType | None) -> None:
        streams.stop()  # before waitress waits for its threads, which would otherwise follow runs for ever
        raise SystemExit(0)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    server.run()
    server.close()


def _announce(settings: Settings) -> None:
    host = "127.0.0.1" if settings.dashboard_host in WILDCARDS else settings.dashboard_host
    shown = f"[{host}]" if ":" in host else host
    click.echo(f"Dashboard: http://{shown}:{settings.dashboard_port}")
    click.echo(f"  memory service {settings.memory_service_url}")
    click.echo(f"  datasets {settings.exports_dir} · runs {settings.lora_adapters_dir}")
    if not settings.is_loopback:
        click.echo(
            f"  Warning: it listens on {settings.dashboard_host} and has no login: whoever reaches it can read and "
            "edit the memory. Keep it behind a proxy that asks who is there.",
            err=True,
        )
    sys.stdout.flush()


def _why_not(settings: Settings, failure: OSError) -> str:
    if failure.errno in {errno.EADDRINUSE, getattr(errno, "WSAEADDRINUSE", errno.EADDRINUSE)}:
        return (
            f"Port {settings.dashboard_port} on {settings.dashboard_host} is taken. Another dashboard may be running "
            "(on macOS, AirPlay takes 5000). Stop it, or choose another port with --port or DASHBOARD_PORT."
        )
    if failure.errno == errno.EACCES:
        return f"Port {settings.dashboard_port} needs rights this user lacks. Choose one above 1023 with --port."
    return f"Cannot listen on {settings.dashboard_host}:{settings.dashboard_port}: {failure.strerror or failure}."


commands: list[click.Command] = [dashboard]
