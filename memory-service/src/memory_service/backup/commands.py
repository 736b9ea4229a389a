"""`casiopy backup …` and `casiopy restore`."""

import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from pydantic import ValidationError

from memory_service.backup.catalog import KINDS, Backup, Kind, finished
from memory_service.backup.making import make_backup
from memory_service.backup.restoring import content, opened, refuse_while_used, rehearse_dump, restore_dump, row_counts
from memory_service.backup.restoring_base import rehearse_base, restore_base
from memory_service.backup.sealing import check_against_sidecar
from memory_service.backup.server import BackupError, DatabaseServer, database_server
from memory_service.backup.settings import BackupSettings
from memory_service.embedded import EmbeddedPostgresError
from memory_service.logs import configure_logs
from memory_service.settings import Settings

log = logging.getLogger(__name__)

_folder_option = click.option(
    "--folder", type=click.Path(path_type=Path), help="Folder of the backups.  [default: BACKUPS_DIR or ./backups]"
)
_identity_option = click.option(
    "--identity",
    type=click.Path(path_type=Path),
    help="Secret key file, for encrypted backups.  [default: BACKUP_IDENTITY]",
)


@click.group()
def backup() -> None:
    """Back up the memory, check the backups, rehearse a restore."""


@contextmanager
def _server() -> Iterator[DatabaseServer]:
    """The configured database, with logs in place; every expected problem becomes one clear message."""
    try:
        settings = Settings()
        configure_logs(settings.logs_dir, settings.log_level, name="backup")
        with database_server(settings) as server:
            yield server
    except ValidationError as error:
        raise click.ClickException("; ".join(problem["msg"] for problem in error.errors())) from None
    except (BackupError, EmbeddedPostgresError) as error:
        raise click.ClickException(str(error)) from None


def _make(kind: Kind, folder: Path | None) -> None:
    configured = BackupSettings()
    with _server() as server:
        made = make_backup(server, folder or configured.backups_dir, kind, recipient=configured.backup_recipient)
    click.echo(_describe(made))
    click.echo(f"Restore it with: ./restore_backup.sh {made.path}")


def _describe(made: Backup) -> str:
    form = "base backup" if made.base else "dump"
    sealed = "encrypted" if made.sealed else "not encrypted: BACKUP_RECIPIENT is not set"
    return f"{made.path}  ({made.path.stat().st_size / 1e6:.1f} MB, {form}, {sealed})"


@backup.command()
@_folder_option
def hourly(folder: Path | None) -> None:
    """Dump the database; 24 hours stay."""
    _make("hourly", folder)


@backup.command()
@_folder_option
def daily(folder: Path | None) -> None:
    """Dump the database; 7 days stay."""
    _make("daily", folder)


@backup.command()
@_folder_option
def weekly(folder: Path | None) -> None:
    """Full backup; 4 weeks and the last one of 6 months stay."""
    _make("weekly", folder)


@backup.command("list")
@_folder_option
def list_(folder: Path | None) -> None:
    """Show the finished backups, newest first."""
    where = folder or BackupSettings().backups_dir
    found = finished(where)
    for one in found:
        click.echo(_describe(one))
    if not found:
        click.echo(f"No backups in {where}. Make one with: casiopy backup daily")


@backup.command()
@_folder_option
@click.option("--every", type=click.IntRange(60), default=3600, show_default=True, help="Seconds between backups.")
def keep(folder: Path | None, every: int) -> None:
    """Stay up and back up every hour, with a daily and a weekly one when they are due."""
    configured = BackupSettings()
    where = folder or configured.backups_dir
    while True:
        started = time.monotonic()
        try:
            with _server() as server:
                for kind in due(finished(where), datetime.now(UTC)):
                    make_backup(server, where, kind, recipient=configured.backup_recipient)
        except click.ClickException as problem:
            # The next hour may be better; until then `casiopy backup check` reports the gap.
            log.error("No backup this time: %s", problem.message)
        time.sleep(max(1.0, every - (time.monotonic() - started)))


def due(backups: list[Backup], now: datetime) -> list[Kind]:
    """Which kinds to make at `now`: always an hourly one, the first of a day also daily, of a week also weekly."""
    days = {one.taken_at.date() for one in backups if one.kind == "daily"}
    weeks = {one.taken_at.isocalendar()[:2] for one in backups if one.kind == "weekly"}
    wanted = {"hourly": True, "daily": now.date() not in days, "weekly": now.isocalendar()[:2] not in weeks}
    return [kind for kind in KINDS if wanted[kind]]


@backup.command()
@_folder_option
@click.option("--max-age", type=float, default=2.0, show_default=True, help="Hours the newest backup may be old.")
def check(folder: Path | None, max_age: float) -> None:
    """Fail unless there is a recent backup whose checksum is right."""
    where = folder or BackupSettings().backups_dir
    found = finished(where)
    if not found:
        raise click.ClickException(f"There is no backup in {where}.")
    age = datetime.now(UTC) - found[0].taken_at
    if age > timedelta(hours=max_age):
        raise click.ClickException(f"The newest backup is {age / timedelta(hours=1):.1f} hours old: {found[0].path}")
    try:
        check_against_sidecar(found[0].path, found[0].checksum_path)
    except BackupError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{found[0].path} is intact and {age / timedelta(minutes=1):.0f} minutes old.")


@backup.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@_folder_option
@_identity_option
def rehearse(path: Path | None, folder: Path | None, identity: Path | None) -> None:
    """Restore the newest backup (or PATH) into a scratch database, count its rows, and remove it again."""
    configured = BackupSettings()
    where = folder or configured.backups_dir
    newest = next(iter(finished(where)), None)
    chosen = path or (newest.path if newest else None)
    if chosen is None:
        raise click.ClickException(f"There is no backup in {where}. Make one with: casiopy backup daily")
    with _server() as server, opened(chosen, identity or configured.backup_identity) as ready:
        counts = rehearse_base(server, ready) if ready.base else rehearse_dump(server, ready.path)
    click.echo(_table(counts))
    click.echo(f"{chosen} can be restored. Your database was not touched.")


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Replace a database that is not empty without asking.")
@_identity_option
def restore(path: Path, yes: bool, identity: Path | None) -> None:
    """Replace the database with the backup PATH. The service must be stopped."""
    with _server() as server, opened(path, identity or BackupSettings().backup_identity) as ready:
        refuse_while_used(server)
        _confirm(server, content(row_counts(server)), yes=yes)
        counts = restore_base(server, ready) if ready.base else restore_dump(server, ready.path)
    click.echo(_table(counts))
    click.echo(f"Restored {path}. Start the service: it brings an older schema up to date by itself.")


def _confirm(server: DatabaseServer, present: Mapping[str, int], *, yes: bool) -> None:
    if not present or yes:
        return
    rows = ", ".join(f"{count} {table}" for table, count in sorted(present.items(), key=lambda item: -item[1])[:5])
    held = f"The database {server.database!r} is not empty ({rows})."
    if not sys.stdin.isatty():
        raise BackupError(f"{held} Pass --yes to replace it. Nothing was changed.")
    click.confirm(f"{held} Replace all of it?", abort=True)


def _table(counts: Mapping[str, int]) -> str:
    width = max(map(len, counts), default=0)
    return "\n".join(f"  {table:<{width}}  {rows:>10,}" for table, rows in counts.items() if rows)


backup_commands: list[click.Command] = [backup, restore]
