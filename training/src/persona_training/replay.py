"""Where a later layer's run finds the personality rows that it replays against forgetting."""

from __future__ import annotations

from collections.abc import Sequence

from persona_training.adapters import Manifest
from persona_training.config import Recipe
from persona_training.datasets import Dataset, load_dataset
from persona_training.errors import DatasetError
from persona_training.settings import Settings


def replay_dataset(recipe: Recipe, parent: Manifest | None, given: Sequence[str], settings: Settings) -> Dataset | None:
    """The personality rows of a run: those given, else those the parent was trained on; None where nothing is replayed.

    Raises:
        DatasetError: they are not there any more, or the file has changed since.
    """
    if parent is None or recipe.replay_share == 0:
        if given:
            raise DatasetError(
                "--replay-dataset is given, but nothing of it would be replayed: add --replay-share 0.25."
            )
        return None
    if given:
        return load_dataset(given, settings.exports_dir)
    pinned = parent["dataset"]
    exported = pinned["export_id"] is not None and (settings.exports_dir / pinned["export_id"]).is_dir()
    source = [pinned["export_id"]] if exported else pinned.get("source", [])
    if not source:
        raise DatasetError(_how_to(parent, "its manifest does not say which file it read"))
    try:
        dataset = load_dataset(source, settings.exports_dir)
    except DatasetError as error:
        raise DatasetError(_how_to(parent, error.message)) from error
    if dataset.sha256 != pinned["sha256"]:
        raise DatasetError(_how_to(parent, "that file has changed since"))
    return dataset


def _how_to(parent: Manifest, why: str) -> str:
    return (
        f"Replay needs the personality rows {parent['adapter_id']} was trained on, but: {why} "
        "Pass --replay-dataset with a personality export, or --replay-share 0 to train without replay "
        "(the character may be forgotten; the gate will tell)."
    )
