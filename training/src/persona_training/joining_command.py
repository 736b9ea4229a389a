"""`casiopy join`: a week and its skills as one adapter."""

from __future__ import annotations

import os
from pathlib import Path

import click

from persona_training.adapters import read_adapter
from persona_training.display import Display
from persona_training.errors import StorageError
from persona_training.joining import LEAST_WEIGHT, MOST_WEIGHT, Weighted, join_adapters, layers_to_join
from persona_training.parents import adapter_folder
from persona_training.settings import Settings


@click.command("join")
@click.argument("adapter")
@click.option(
    "--skill",
    "skills",
    multiple=True,
    metavar="ADAPTER_ID[=WEIGHT]",
    help=f"A layer 3 on the same layer 1 (repeatable); weight {LEAST_WEIGHT:g} to {MOST_WEIGHT:g}, default 1.",
)
@click.option("--output-dir", type=click.Path(path_type=Path), help="Default: joined/ in LORA_ADAPTERS_DIR.")
def join(adapter: str, skills: tuple[str, ...], output_dir: Path | None) -> None:
    """Write ADAPTER with the layer 1 below it, and skills beside it, as one LoRA adapter for any server that takes one.

    The layers are added exactly; nothing is averaged. A join is never joined again: give its layers.
    """
    settings = Settings.from_env()
    display = Display()
    if output_dir is not None and os.path.realpath(output_dir) == os.path.realpath(settings.adapters_dir):
        raise StorageError(f"{output_dir} is the folder of all adapters. Choose a folder of its own for the join.")
    folder = adapter_folder(adapter, settings.adapters_dir)
    added = [_weighted(skill, settings.adapters_dir) for skill in skills]
    layers = layers_to_join(folder, added)
    for layer in layers:
        manifest = read_adapter(layer.folder)
        display.fact(f"layer {manifest['layer']}", f"{manifest['adapter_id']}, weight {layer.weight:g}")
    name = "+".join([folder.name, *(f"{skill.folder.name}={skill.weight:g}" for skill in added)])
    written = join_adapters(folder, output_dir or settings.adapters_dir / "joined" / name, added)
    display.fact("joined", f"→ {written}")


def _weighted(given: str, adapters_dir: Path) -> Weighted:
    named, _, weight = given.partition("=")
    try:
        return Weighted(adapter_folder(named, adapters_dir), float(weight) if weight else 1.0)
    except ValueError as error:
        raise click.UsageError(f"The weight of --skill {given} must be a number, e.g. {named}=0.8.") from error
