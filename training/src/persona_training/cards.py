"""What a recipe changes on a smaller graphics card: its `cards:` section, and which of its sizes a run takes.

A size holds the knobs it overrides, in the recipe's own form, and only knobs that decide memory: what a character learns
does not change with the card, except where a comment in the recipe says so. A sentence instead of knobs says why the base
does not fit that card and which does.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from persona_training.errors import RecipeError
from persona_training.yaml_text import read_yaml

KNOBS = {
    "": {"max_length", "load_in_4bit", "packing", "backend"},
    "lora": {"r", "lora_alpha"},
    "steps": {"batch_size", "gradient_accumulation", "gradient_checkpointing"},
}
# What a card must keep free for the desktop, the driver and the blocks the allocator could not reuse.
USABLE_SHARE = 0.92

Cards = dict[int, Mapping[str, Any] | str]


def card_bytes(card_gb: float) -> int:
    """Bytes of a card sold with that many GB: cards count in 2**30."""
    return round(card_gb * 2**30)


def split_cards(values: object) -> tuple[object, Cards]:
    """A recipe's plain values without their `cards`, and the cards.

    Raises:
        RecipeError: a size is no whole number of GB, or overrides something that does not decide memory.
    """
    if not isinstance(values, dict) or "cards" not in values:
        return values, {}
    cards = values["cards"]
    if not isinstance(cards, dict):
        raise RecipeError("cards must hold sizes in GB, each with the knobs it changes")
    for size, knobs in cards.items():
        if type(size) is not int or size < 1:
            raise RecipeError(f"cards: {size!r} is no card size; write whole GB, such as 12")
        if not isinstance(knobs, str):
            _check(size, "", knobs)
    return {name: value for name, value in values.items() if name != "cards"}, dict(sorted(cards.items()))


def for_card(values: object, card: int | None) -> object:
    """A recipe's plain values as they are on a card of that size (one of its `cards`); None leaves them as written.

    Raises:
        RecipeError: the recipe has no such size, or says that the base does not fit it.
    """
    plain, cards = split_cards(values)
    if card is None:
        return plain
    if card not in cards:
        raise RecipeError(f"no settings for a card of {card} GB; there are: {_sizes(cards)}")
    knobs = cards[card]
    if isinstance(knobs, str):
        raise RecipeError(f"a card of {card} GB is too small: {knobs}")
    changed: Any = copy.deepcopy(plain)
    for name, value in knobs.items():
        group = changed.get(name)
        # A section that is none is left for `recipe_from` to refuse.
        changed[name] = {**group, **value} if isinstance(group, Mapping) else group if name in KNOBS else value
    return changed


def choose_card(path: Path, asked: int | None, free_bytes: int | None) -> tuple[int | None, str]:
    """Which of a recipe's sizes a run takes, and why, in words for the operator.

    Args:
        path: the recipe.
        asked: `--card`, in GB as sold; takes the largest size that is not above it.
        free_bytes: free memory of the GPU, or None where there is none.

    Returns:
        None where the recipe is to be taken as written; the reason is empty where it has no sizes to choose from.

    Raises:
        RecipeError: the smallest size is above what was asked for, or above what is free.
    """
    cards = _read(path)
    if not cards:
        if asked is not None:
            raise RecipeError(f"{path} has no settings by card; leave out --card.")
        return None, ""
    if asked is not None:
        fitting = [size for size in cards if size <= asked]
        if not fitting:
            raise RecipeError(f"{path} has no settings for a card of {asked} GB; there are: {_sizes(cards)}.")
        return fitting[-1], f"settings for {fitting[-1]} GB: asked for {asked}"
    if free_bytes is None:
        return None, "no GPU: the recipe as written"
    free = f"{free_bytes / 2**30:.1f} GB of the GPU's memory are free"
    fitting = [size for size in cards if USABLE_SHARE * card_bytes(size) <= free_bytes]
    if not fitting:
        raise RecipeError(
            f"Only {free}, and {path} begins at a card of {min(cards)} GB. Close what uses the GPU "
            "(`nvidia-smi` lists it), take a smaller base, or overrule this with --card."
        )
    return fitting[-1], f"settings for {fitting[-1]} GB: {free}"


def free_gpu_bytes(device: str = "auto") -> int | None:
    """Free memory of the GPU a run with this `device` would use, or None where it would use none."""
    import torch

    if device == "cpu" or not torch.cuda.is_available():
        return None
    return int(torch.cuda.mem_get_info()[0])


def _read(path: Path) -> Cards:
    try:
        values = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}  # `read_recipe` reads the same file next and says what is wrong with it
    return split_cards(values)[1]


def _check(size: int, prefix: str, knobs: object) -> None:
    if not isinstance(knobs, Mapping):
        raise RecipeError(f"cards: {size}: must hold knobs, or a sentence that says why the base does not fit")
    for name, value in knobs.items():
        if not prefix and name in KNOBS:
            _check(size, str(name), value)
        elif name not in KNOBS[prefix]:
            full = f"{prefix}.{name}" if prefix else name
            raise RecipeError(f"cards: {size}: {full} does not decide memory; set it for every card instead")


def _sizes(cards: Cards) -> str:
    return ", ".join(f"{size}" for size in cards) + " GB" if cards else "none"
