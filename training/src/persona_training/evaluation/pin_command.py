"""`casiopy pin`: name the version that every later one is compared with."""

from __future__ import annotations

import click

from persona_training.options import ollama_address


@click.command("pin")
@click.argument("name", required=False)
@click.option("--reason", help="Why this version; kept with the pin. Needed with NAME.")
@click.option("--host", callback=ollama_address, help="Ollama's address, where NAME is a tag. Default: OLLAMA_HOST.")
def pin(name: str | None, reason: str | None, host: str | None) -> None:
    """Pin NAME, an adapter or a tag deployed from one, as the golden version; without NAME show what is pinned.

    The gate compares every candidate with it, besides the live version, so that many small losses are seen as one.
    """
    from persona_training.display import Display
    from persona_training.errors import AdapterError
    from persona_training.evaluation.pins import pin_golden, pins
    from persona_training.evaluation.subjects import find_adapter
    from persona_training.ollama.tags import OllamaTags
    from persona_training.settings import Settings

    settings, display = Settings.from_env(), Display()
    if name is None:
        every = pins(settings.adapters_dir)
        for one in every:
            display.fact("golden" if one is every[-1] else "before", f"{one.adapter_id}, {one.at[:10]}: {one.reason}")
        if not every:
            display.fact("golden", "nothing is pinned")
        return
    folder = find_adapter(name, settings.adapters_dir)
    if folder is None:
        behind = OllamaTags(settings.adapters_dir, host).adapter_of(name)
        folder = find_adapter(behind, settings.adapters_dir) if behind else None
    if folder is None:
        raise AdapterError(
            f"No adapter {name!r} in {settings.adapters_dir}, and no adapter here is known to be behind a tag of that name. "
            "Weights that cannot be checked cannot be pinned."
        )
    made = pin_golden(settings.adapters_dir, folder, reason or "")
    display.fact("golden", f"{made.adapter_id} ({made.weights_sha256[:12]}…): {made.reason}")
