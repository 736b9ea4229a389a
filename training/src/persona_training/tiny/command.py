"""`casiopy tiny build`: make the tiny base model ahead of the first training run."""

from __future__ import annotations

import dataclasses

import click

from persona_training.config import LARGEST_SEED
from persona_training.settings import Settings


@click.group()
def tiny() -> None:
    """The small chat model that is built on this machine, without hub or GPU."""


@tiny.command()
@click.option(
    "--seed", type=click.IntRange(0, LARGEST_SEED), help="Of its weights and its text; another seed is another model."
)
@click.option("--steps", type=click.IntRange(min=1), help="Pre-training steps, instead of the default.")
def build(seed: int | None, steps: int | None) -> None:
    """Build and pre-train it (about a minute of one core), or say where it already is."""
    from persona_training.display import Display
    from persona_training.tiny.build import TinyRecipe, tiny_model

    changes = {name: value for name, value in (("seed", seed), ("steps", steps)) if value is not None}
    recipe = dataclasses.replace(TinyRecipe(), **changes)
    display = Display()
    with display.building_base() as progress:
        folder = tiny_model(Settings.from_env().data_dir, recipe, progress)
    display.fact("base model", f"{recipe.name} in {folder}")
