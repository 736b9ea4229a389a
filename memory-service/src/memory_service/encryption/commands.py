"""`casiopy encryption-key` and `casiopy reencrypt`."""

import sys
from collections import Counter

import click
from cryptography.fernet import Fernet

from memory_service.command_line import read_settings, run
from memory_service.settings import Settings


@click.command("encryption-key")
def encryption_key() -> None:
    """Print a fresh key for ENCRYPTION_KEY. Keep it: without it, encrypted texts are lost."""
    click.echo(Fernet.generate_key().decode())


@click.command()
@click.option("--check", is_flag=True, help="Only count the rows that are plain or under an older key; exit 1 if any.")
def reencrypt(check: bool) -> None:
    """Encrypt every stored text under the first key in ENCRYPTION_KEY, while the service runs. Can be stopped and repeated."""
    settings = read_settings()
    if settings.encryption_key is None:
        raise click.ClickException(
            "ENCRYPTION_KEY is not set: there is no key to encrypt with. `casiopy encryption-key` makes one."
        )
    waiting: Counter[str] = Counter()

    async def work(settings: Settings, url: str) -> None:
        waiting.update(await _rewrite(settings, url, check_only=check))

    run(work, settings, "reencrypt", quiet=True)
    if check and waiting.total():
        click.echo("Some rows still need `casiopy reencrypt`; keep the older keys until then.")
        sys.exit(1)


async def _rewrite(settings: Settings, url: str, *, check_only: bool) -> Counter[str]:
    from memory_service.encryption.rewriting import TABLES
    from memory_service.encryption.rewriting import reencrypt as rewrite
    from memory_service.encryption.store import WrongKey, open_database, unlock
    from memory_service.encryption.types import UnreadableText
    from memory_service.runtime import StartError, bring_up_to_date

    await bring_up_to_date(url)
    database = open_database(settings, url, pool_size=2)
    seen: Counter[str] = Counter()
    changed: Counter[str] = Counter()
    try:
        await unlock(database)
        assert database.cipher is not None  # noqa: S101  (the command has looked)
        async for batch in rewrite(database, database.cipher, check_only=check_only):
            seen[batch.table] += batch.seen
            changed[batch.table] += batch.changed
            if sys.stderr.isatty():
                click.echo(f"\r{batch.table}: {seen[batch.table]} rows", err=True, nl=False)
    except (WrongKey, UnreadableText) as error:
        raise StartError(str(error)) from None
    finally:
        await database.close()
    verb = "to encrypt" if check_only else "encrypted anew"
    for kind in TABLES:
        click.echo(f"{kind.table:<20} {seen[kind.table]:>8} rows {changed[kind.table]:>8} {verb}")
    return changed
