"""A join as the gate's subject: several layers in one adapter folder, told apart from a layer by its `joined.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_training.adapters import JOINED_FILE
from persona_training.errors import AdapterError
from persona_training.hashing import sha256_file

_PIN = ("adapter_id", "layer", "weights_sha256", "weight")


@dataclass(frozen=True)
class Join:
    """What a join is made of.

    Attributes:
        folder: where it lies.
        base_model: name and sha256 of the base.
        layers: adapter_id, layer, weights_sha256 and weight of each, lowest first.
        weights_sha256: of the joined weights, checked.
    """

    folder: Path
    base_model: dict[str, str]
    layers: tuple[dict[str, Any], ...]
    weights_sha256: str

    @property
    def names(self) -> str:
        """The layers' ids, with the weight of each that is not whole."""
        return " + ".join(
            str(layer["adapter_id"]) + (f" x {layer['weight']:g}" if layer["weight"] != 1 else "")
            for layer in self.layers
        )

    def ground(self, adapters_dir: Path) -> tuple[Path | None, str]:
        """What it is compared with when nobody says: its newest layer that is no skill and not the join's last one.

        Raises:
            AdapterError: that layer is gone.
        """
        below = [layer for layer in self.layers[:-1] if layer["layer"] != 3]
        if not below:
            return None, "one layer alone: it must rise above the base model"
        ground = adapters_dir / str(below[-1]["adapter_id"])
        if not (ground / "manifest.json").is_file():
            raise AdapterError(
                f"{ground.name}, a layer of this join, is not in {adapters_dir}. Restore it or give --baseline."
            )
        return ground, f"the join without what lies above {ground.name}"


def find_join(name: str, adapters_dir: Path) -> Path | None:
    """The folder of a join by its path or by its name in `joined/`, or None."""
    for folder in (adapters_dir / name, adapters_dir / "joined" / name, Path(name)):
        if (folder / JOINED_FILE).is_file() and not (folder / "manifest.json").is_file():
            return folder
    return None


def join_of(names: Sequence[str], adapters_dir: Path) -> Join | None:
    """The newest join in `joined/` of exactly these layers, lowest first, or None.

    Raises:
        AdapterError: a join there is damaged.
    """
    folders = [path.parent for path in (adapters_dir / "joined").glob(f"*/{JOINED_FILE}")]
    for folder in sorted(folders, key=lambda path: (path / JOINED_FILE).stat().st_mtime, reverse=True):
        join = read_join(folder)
        if [layer["adapter_id"] for layer in join.layers] == list(names):
            return join
    return None


def read_join(folder: Path) -> Join:
    """A join whose weights are what its `joined.json` says.

    Raises:
        AdapterError: damaged, of an unknown schema, or changed since.
    """
    path = folder / JOINED_FILE
    again = "Delete that folder and join again with `casiopy join`."
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != "casiopy/joined-v1":
            raise ValueError(f"its schema is {content['schema']}")
        base = {key: str(content["base_model"][key]) for key in ("name", "sha256")}
        layers = tuple({key: layer[key] for key in _PIN} for layer in content["layers"])
        weights, sha256 = folder / str(content["weights"]["file"]), str(content["weights"]["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AdapterError(f"{path} cannot be read as a join ({type(error).__name__}: {error}). {again}") from error
    if not layers:
        raise AdapterError(f"{path} names no layer. {again}")
    if not weights.is_file() or sha256_file(weights) != sha256:
        raise AdapterError(f"The weights {weights} are gone or changed after joining. {again}")
    return Join(folder, base, layers, sha256)
