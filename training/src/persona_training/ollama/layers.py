"""Which layers are to be served, and their name: one adapter with what it stands on, and skills beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from persona_training.adapters import JOINED_FILE, Manifest, adapters_in, finished_adapter, read_adapter
from persona_training.errors import AdapterError
from persona_training.evaluation.joins import read_join
from persona_training.evaluation.subjects import newest_adapter_of_week
from persona_training.joining import Weighted, layers_to_join
from persona_training.parents import adapter_folder

_MOMENT = re.compile(r"-\d{8}T\d{6}$")
_NOT_IN_A_TAG = re.compile(r"[^a-z0-9_.-]+")


@dataclass(frozen=True)
class Layers:
    """What is served as one model.

    Attributes:
        top: the folder of the week, of layer 1, or of a skill that is served without a week; its parents come with it.
        manifest: of `top`.
        skills: layer-3 adapters on the same layer 1, added with their weights.
        adapters_dir: where adapters and joins lie.
    """

    top: Path
    manifest: Manifest
    skills: tuple[Weighted, ...]
    adapters_dir: Path

    @cached_property
    def stack(self) -> list[Weighted]:
        """Every layer, lowest first, each finished and with verified hashes."""
        return layers_to_join(self.top, self.skills)

    @cached_property
    def manifests(self) -> list[Manifest]:
        """Of every layer, lowest first."""
        return [read_adapter(layer.folder) for layer in self.stack]

    @property
    def skill_manifests(self) -> list[Manifest]:
        """Of the skills, in the order they were named."""
        return self.manifests[len(self.manifests) - len(self.skills) :]

    @property
    def join(self) -> Path:
        """Where `casiopy join` writes these very layers, and the gate its report about them."""
        parts = [self.top.name, *(f"{skill.folder.name}={skill.weight:g}" for skill in self.skills)]
        return self.adapters_dir / "joined" / "+".join(parts)

    @property
    def name(self) -> str:
        """The adapter's id; with skills, ids and weights as the join's folder is named."""
        return self.join.name if self.skills else str(self.manifest["adapter_id"])

    @property
    def pins(self) -> list[dict[str, Any]]:
        """Every layer as `joined.json` lists them."""
        return [
            {
                "adapter_id": manifest["adapter_id"],
                "layer": manifest["layer"],
                "weights_sha256": manifest["weights"]["sha256"],
                "weight": layer.weight,
            }
            for layer, manifest in zip(self.stack, self.manifests, strict=True)
        ]

    def judged(self) -> tuple[Path, str | None]:
        """The folder that holds the gate's report, and the hash of the weights it must be about; None: never joined.

        Raises:
            AdapterError: the join of these layers is damaged, or was made of other weights.
        """
        if not self.skills:
            return self.top, str(self.manifest["weights"]["sha256"])
        if not (self.join / JOINED_FILE).is_file():
            return self.join, None
        joined = read_join(self.join)
        if list(joined.layers) != self.pins:
            raise AdapterError(f"The join in {self.join} was made of other weights. Delete that folder and join again.")
        return self.join, joined.weights_sha256

    def how_to_judge(self) -> str:
        """The commands that make the gate judge exactly these layers."""
        if not self.skills:
            return f"`python training/test_personality.py --model {self.name} --save-report`"
        judge = f"`python training/test_personality.py --model joined/{self.name} --save-report`"
        if (self.join / JOINED_FILE).is_file():
            return judge
        skills = " ".join(f"--skill {skill.folder.name}={skill.weight:g}" for skill in self.skills)
        return f"`casiopy join {self.manifest['adapter_id']} {skills}`, then {judge}"


def layers_of_week(adapters_dir: Path, week: int, year: int | None, skills: Sequence[str] = ()) -> Layers:
    """The newest finished layer 2 of a week, with skills.

    Raises:
        AdapterError: there is none, or a skill cannot be added.
    """
    folder = newest_adapter_of_week(adapters_dir, week, year)
    if folder is None:
        of = f"week {week}" + (f" of {year}" if year else "")
        raise AdapterError(
            f"No finished layer-2 adapter of {of} in {adapters_dir}. Train it: "
            f"python training/train_episodic_lora.py --dataset exports/episodic/week_{week:02d}.jsonl --week {week}"
        )
    return _layers(folder, adapters_dir, skills)


def layers_of_adapter(adapters_dir: Path, named: str, skills: Sequence[str] = ()) -> Layers:
    """An adapter of any layer by id or folder, or the layers of a join.

    Raises:
        AdapterError: there is none, it is unfinished or changed, or skills are named beside a join.
    """
    folder = adapter_folder(named, adapters_dir)
    if not (folder / JOINED_FILE).is_file():
        return _layers(folder, adapters_dir, skills)
    if skills:
        raise AdapterError(f"{folder.name} is a join already; name its week with --week or --adapter, and every skill.")
    pins = list(read_join(folder).layers)
    tops = [pin for pin in pins if pin["layer"] < 3]
    beside = [Weighted(adapters_dir / pin["adapter_id"], pin["weight"]) for pin in pins if pin["layer"] == 3]
    if not tops:
        raise AdapterError(f"{folder / JOINED_FILE} names no layer 1 or 2. Delete that folder and join again.")
    top = adapters_dir / tops[-1]["adapter_id"]
    layers = Layers(top, finished_adapter(top), tuple(beside), adapters_dir)
    if layers.pins != pins:
        raise AdapterError(f"The join in {folder} was made of other weights. Delete that folder and join again.")
    return layers


def _layers(folder: Path, adapters_dir: Path, skills: Sequence[str]) -> Layers:
    return Layers(
        top=folder,
        manifest=finished_adapter(folder),
        skills=tuple(skill_named(named, adapters_dir) for named in skills),
        adapters_dir=adapters_dir,
    )


def skill_named(named: str, adapters_dir: Path) -> Weighted:
    """`NAME` or `NAME=WEIGHT`, where NAME is an adapter's id or a skill's own name: then its newest adapter.

    Raises:
        AdapterError: there is none, or the weight is no number.
    """
    name, _, weight = named.partition("=")
    try:
        loudness = float(weight) if weight else 1.0
    except ValueError as error:
        raise AdapterError(f"The weight of --skill {named} must be a number, e.g. {name}=0.8.") from error
    for folder, manifest in adapters_in(adapters_dir):
        if manifest["layer"] == 3 and manifest["status"] == "finished" and name == skill_name(manifest):
            return Weighted(folder, loudness)
    return Weighted(adapter_folder(name, adapters_dir), loudness)


def skill_name(manifest: Manifest) -> str:
    """`sarcasm` for a skill of that name; `preference` for a layer learned from people's preferences."""
    return str(manifest.get("skill") or _MOMENT.sub("", str(manifest["adapter_id"])))


def default_tag(layers: Layers) -> str:
    """`casiopy:week05`, `casiopy:personality` or `casiopy:skill-sarcasm`; with skills `casiopy:week05-sarcasm`."""
    manifest = layers.manifest
    names = [skill_name(skill) for skill in layers.skill_manifests]
    if manifest["week"]:
        first = f"week{manifest['week']['number']:02d}"
    elif manifest["layer"] == 3:
        first = ("skill-" if manifest.get("skill") else "") + skill_name(manifest)
    else:
        first = "skill" if names else "personality"
    return f"{manifest['persona']}:" + _NOT_IN_A_TAG.sub("-", "-".join([first, *names]).lower())
