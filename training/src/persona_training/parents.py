"""What a later layer stands on: finding layer 1, refusing anything else, and proof that its weights were only read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from persona_training.adapters import (
    JOINED_FILE,
    Manifest,
    adapter_chain,
    adapters_in,
    check_base,
    check_weights,
    config_of,
    finished_adapter,
    read_adapter,
)
from persona_training.bases import BaseModel
from persona_training.config import Recipe
from persona_training.errors import AdapterError
from persona_training.settings import Settings


def adapter_folder(named: str, adapters_dir: Path) -> Path:
    """The folder of an adapter id, or of a path.

    Raises:
        AdapterError: there is none.
    """
    for folder in (adapters_dir / named, Path(named)):
        if (folder / "manifest.json").is_file() or (folder / JOINED_FILE).is_file():
            return folder
    known = ", ".join(manifest["adapter_id"] for _, manifest in adapters_in(adapters_dir)) or "none yet"
    raise AdapterError(f"No adapter {named!r}. Adapters in {adapters_dir}: {known}.")


def find_parents(recipe: Recipe, given: str | None, base: BaseModel, settings: Settings) -> list[Path]:
    """The finished layer 1 that a layer 2 or 3 is trained on: the one given, else the newest on this base.

    Raises:
        AdapterError: there is none, it is not a layer 1, is unfinished, changed, belongs on another base, or lies elsewhere.
    """
    if recipe.layer == 1:
        return []
    if given is not None:
        folder = adapter_folder(given, settings.adapters_dir)
        manifest = read_adapter(folder)
        check_base(manifest, base.sha256)
        if manifest["layer"] != 1:
            raise AdapterError(
                f"{manifest['adapter_id']} is layer {manifest['layer']}. Weeks, skills and preferences are trained on top "
                "of layer 1, never on another week and never on each other: chained layers drift, siblings can be joined."
            )
        beside = folder.absolute().parent
        if beside.resolve() != settings.adapters_dir.resolve():
            raise AdapterError(
                f"{manifest['adapter_id']} lies in {beside}, and a layer on it would lie in {settings.adapters_dir}: a stack's "
                f"layers lie side by side, or nothing finds them. Give --output-dir {beside}, or copy that adapter over."
            )
        return adapter_chain(folder)
    for folder, manifest in adapters_in(settings.adapters_dir):
        usable = (manifest["layer"], manifest["status"]) == (1, "finished")
        if usable and manifest["base_model"]["sha256"] == base.sha256:
            return adapter_chain(folder)
    raise AdapterError(
        f"No finished personality layer on {base.name} in {settings.adapters_dir}. "
        "Train one first: python training/train_personality_lora.py --dataset exports/personality/personality.jsonl"
    )


def louder_than_parent(recipe: Recipe, parent: Manifest) -> list[str]:
    """Warnings where a later layer is not smaller and gentler than the layer 1 it must not undo.

    Lower rank and rate forget less (LoRA Learns Less and Forgets Less, arXiv 2405.09673).
    """
    steps, lora = config_of(parent).get("steps", {}), parent.get("lora") or {}
    pairs = (
        ("lora.r", recipe.lora.r, lora.get("r")),
        ("steps.learning_rate", recipe.steps.learning_rate, steps.get("learning_rate")),
    )
    return [
        f"{name} is {own:g}, not below the {theirs:g} of {parent['adapter_id']}: a later layer as loud as the character "
        f"forgets more of it. Lower {name}, and look at the gate."
        for name, own, theirs in pairs
        if theirs is not None and own >= theirs
    ]


@contextmanager
def only_read(parents: Sequence[Path]) -> Iterator[None]:
    """Hash the parents' weights before and after what happens inside, however it ends.

    Raises:
        AdapterError: a parent's weights are not those its manifest describes; the message names the file.
    """
    pinned = [(folder, finished_adapter(folder)) for folder in parents]
    try:
        yield
    finally:
        for folder, manifest in pinned:
            check_weights(folder, manifest)
