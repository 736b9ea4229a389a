"""`casiopy keys …`: generate, list and revoke API keys, whether the service runs or not."""

import click

from memory_service.keys import DEFAULT_RATE_LIMIT, MAX_RATE_LIMIT


@click.group()
def keys() -> None:
    """Generate, list and revoke API keys."""


@keys.command()
@click.argument("owner")
@click.option(
    "--rate-limit",
    type=click.IntRange(1, MAX_RATE_LIMIT),
    default=DEFAULT_RATE_LIMIT,
    show_default=True,
    help="Requests a minute.",
)
@click.option("--metadata", default="{}", help="""A JSON object kept with the key, e.g. '{"plan": "pro"}'.""")
def generate(owner: str, rate_limit: int, metadata: str) -> None:
    """Make a key for OWNER and show it, this once."""
    from memory_service.keys import console

    console.generate(owner, rate_limit, metadata)


@keys.command("list")
@click.argument("owner")
@click.option("--json", "as_json", is_flag=True, help="One JSON list, for programs.")
def list_keys(owner: str, as_json: bool) -> None:
    """Show the keys of OWNER: when they were used, their limits, never the keys themselves."""
    from memory_service.keys import console

    console.list_keys(owner, as_json)


@keys.command()
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """Revoke the key with the id KEY_ID for good."""
    from memory_service.keys import console

    console.revoke(key_id)
