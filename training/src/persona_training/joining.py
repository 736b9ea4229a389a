"""Joining layers for serving: one adapter out of a stack, exactly, or one merged model folder.

A stack of adapters adds its updates: W + s1·B1·A1 + s2·B2·A2. Writing the A's under each other and the B's beside each
other, with the scales folded into the B's, gives one adapter of rank r1 + r2 with the same sum. No base model is needed
for that, so joining layers of an 8B model takes seconds. Averages and pruned mixtures would need equal ranks and lose
something; they are not offered.

A week and its skills are siblings on one layer 1, so they are joined as base + layer 1 + layer 2 + layer 3, each once. A
skill was learned without the week; where both pull at the same weights, a weight below 1 makes it speak more quietly.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from filelock import FileLock

from persona_training.adapters import (
    JOINED_FILE,
    WEIGHTS_FILE,
    adapter_chain,
    check_base,
    check_parent,
    finished_adapter,
    read_adapter,
    read_kept,
    write_json,
)
from persona_training.bases import BaseModel, find_base
from persona_training.errors import AdapterError, StorageError
from persona_training.hashing import sha256_file, sha256_json

if TYPE_CHECKING:
    import torch

A_SUFFIX, B_SUFFIX = ".lora_A.weight", ".lora_B.weight"
# Knobs that would make the plain sum wrong; none of our recipes sets them.
UNSUPPORTED = ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern", "modules_to_save", "lora_bias")
# Below a half a skill is hardly heard (train it gentler instead); above 1 it is louder than anything it learned.
LEAST_WEIGHT, MOST_WEIGHT = 0.5, 1.0
MERGED_FILE = "merged.json"
CONFIG_FILE = "adapter_config.json"
# A join's own files, and the gate's report about it, which is about other weights once the join is replaced.
JOIN_FILES = {WEIGHTS_FILE, CONFIG_FILE, JOINED_FILE, "summary.json", "results.jsonl", "junit.xml", "report.html"}
ELSEWHERE = "Choose another --output-dir: a place of its own, or an older join."


@dataclass(frozen=True)
class Weighted:
    """An adapter's folder and the weight of its update in a join, in [0.5, 1]."""

    folder: Path
    weight: float = 1.0


def layers_to_join(folder: Path, skills: Sequence[Weighted] = ()) -> list[Weighted]:
    """`folder`'s stack (its parents and itself), then the skills that stand on the same layer 1.

    Raises:
        AdapterError: a layer is missing, changed, already a join, given twice or on another layer 1; a skill is not layer
            3 or its weight is out of range.
    """
    layers = [Weighted(layer) for layer in adapter_chain(folder)]
    parent = finished_adapter(layers[0].folder)
    for skill in skills:
        manifest = finished_adapter(skill.folder)
        name = manifest["adapter_id"]
        if manifest["layer"] != 3:
            raise AdapterError(f"{name} is layer {manifest['layer']}; only skills and preferences (layer 3) are added.")
        if not LEAST_WEIGHT <= skill.weight <= MOST_WEIGHT:
            raise AdapterError(f"The weight of {name} is {skill.weight:g}; give {LEAST_WEIGHT:g} to {MOST_WEIGHT:g}.")
        if any(skill.folder.resolve() == layer.folder.resolve() for layer in layers):
            raise AdapterError(f"{name} is given twice; a layer is joined once.")
        check_parent(manifest, parent)
        layers.append(skill)
    return layers


def join_adapters(folder: Path, out_dir: Path, skills: Sequence[Weighted] = ()) -> Path:
    """Write `folder`'s whole stack (its parents and itself) and the skills beside it as one adapter into `out_dir`.

    The result behaves like the sum to float32 rounding (about 2e-6 in logits). Its rank is the sum of the ranks, so layers
    are joined afresh every time and never from an adapter that is a join already; `joined.json` marks one.

    `out_dir` is created, or replaced when it holds an older join and nothing else. It gets its name when it is complete, so
    a full disk leaves what was there before.

    Raises:
        AdapterError: see `layers_to_join`; or a layer uses a LoRA variant that does not add up this way, or cannot be read.
        StorageError: `out_dir` holds something else than an older join, or cannot be written.
    """
    from safetensors import SafetensorError

    out_dir = Path(os.path.realpath(out_dir))
    try:
        _check_free(out_dir)
        layers = layers_to_join(folder, skills)
        configs = [_plain_config(layer.folder) for layer in layers]
        tensors = _joined(layers, configs)
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".joining-", dir=out_dir.parent) as unfinished:
            written = Path(unfinished) / "joined"
            _write_join(written, tensors, layers, configs)
            _put_in_place(written, out_dir, Path(unfinished) / "older")
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"Cannot write the joined adapter into {out_dir}: {error}. Free some space or choose another --output-dir."
        ) from error
    return out_dir


def _check_free(out_dir: Path) -> None:
    """Refuse a place where a join would take something's place: a layer's weights cannot be made again in a minute."""
    if out_dir.is_dir():
        held = {path.name for path in out_dir.iterdir()}
        if "manifest.json" in held:
            raise StorageError(f"{out_dir} is a layer's own folder; a join there would take its weights. {ELSEWHERE}")
        if held and (JOINED_FILE not in held or held - JOIN_FILES):
            others = ", ".join(sorted(held - JOIN_FILES)[:3]) or f"no {JOINED_FILE}"
            raise StorageError(f"{out_dir} holds something else than an older join ({others}). {ELSEWHERE}")
    elif out_dir.exists():
        raise StorageError(f"{out_dir} is a file, and a join is a folder. {ELSEWHERE}")


def _write_join(
    folder: Path, tensors: dict[str, torch.Tensor], layers: Sequence[Weighted], configs: Sequence[dict[str, Any]]
) -> None:
    from safetensors.torch import save_file

    folder.mkdir()
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    rank = sum(int(config["r"]) for config in configs)
    modules = sorted({name for config in configs for name in config["target_modules"]})
    joined = {**configs[-1], "r": rank, "lora_alpha": rank, "target_modules": modules}
    (folder / CONFIG_FILE).write_text(json.dumps(joined, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    write_json(folder / JOINED_FILE, _joined_pins(layers, folder))


def _put_in_place(written: Path, out_dir: Path, aside: Path) -> None:
    """Give a complete join its name; an older one is moved aside, and back when that fails."""
    replaces = out_dir.exists()
    if replaces:
        out_dir.replace(aside)
    try:
        written.replace(out_dir)
    except OSError:
        if replaces:
            aside.replace(out_dir)
        raise


def merged_base(base: BaseModel, parents: Sequence[Path], dtype: torch.dtype, data_dir: Path) -> Path:
    """Base + parents as one saved model folder, made once: what a 4-bit run quantises.

    Merging into 4-bit weights would lose much of what layer 1 learned, so it happens in `dtype` first.

    Args:
        dtype: of the merge and of the saved weights, 16 bits.
        data_dir: the folder is kept under it, named after the hashes of everything it is made of.

    Raises:
        AdapterError: a parent does not fit, or the kept folder is not what was written.
        StorageError: no room for a copy of the base model.
    """
    pins = [read_adapter(parent) for parent in parents]
    for pin in pins:
        check_base(pin, base.sha256)
    made_of = {
        "base_sha256": base.sha256,
        "parents": [{"adapter_id": p["adapter_id"], "weights_sha256": p["weights"]["sha256"]} for p in pins],
        "dtype": str(dtype).removeprefix("torch."),
    }
    folder = data_dir / "merged" / sha256_json(made_of)[:16]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Of two runs that begin at once, the second waits for the first one's gigabytes.
        with FileLock(folder.with_suffix(".lock")):
            if not (folder / MERGED_FILE).is_file():
                _merge_anew(base, parents, dtype, folder)
                write_json(folder / MERGED_FILE, {**made_of, "sha256": find_base(str(folder), data_dir).sha256})
    except OSError as error:
        raise StorageError(f"Cannot write {folder}: {error.strerror}. Point CASIOPY_DATA elsewhere.") from error
    if read_kept(folder / MERGED_FILE) != {**made_of, "sha256": find_base(str(folder), data_dir).sha256}:
        raise AdapterError(
            f"The merged base in {folder} changed after it was written. Delete that folder and run again."
        )
    return folder


def _merge_anew(base: BaseModel, parents: Sequence[Path], dtype: torch.dtype, folder: Path) -> None:
    """Only a complete folder gets the name, so that a kill in the middle of gigabytes leaves nothing half."""
    with tempfile.TemporaryDirectory(prefix=".merging-", dir=folder.parent) as unfinished:
        merged = _save_merged(base, parents, dtype, Path(unfinished) / "model")
        if folder.exists():  # from a run that ended between naming and sealing it
            shutil.rmtree(folder)
        merged.replace(folder)


def merge_to_folder(base: BaseModel, adapter: Path | None, out_dir: Path, skills: Sequence[Weighted] = ()) -> Path:
    """Write base + stack as one float32 transformers folder, tokenizer included: what serving formats are made from.

    Args:
        base: must be the base the adapter was trained on.
        adapter: the topmost adapter's folder; None writes the bare base.
        out_dir: created, or replaced when it exists.
        skills: layer-3 adapters to add, with their weights.

    Raises:
        AdapterError: the adapter belongs to another base, or its stack is broken.
    """
    import torch

    layers = layers_to_join(adapter, skills) if adapter is not None else []
    for layer in layers:
        check_base(finished_adapter(layer.folder), base.sha256)
    if out_dir.exists():
        shutil.rmtree(out_dir)
    if adapter is None or not skills:
        return _save_merged(base, [layer.folder for layer in layers], torch.float32, out_dir)
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".joining-", dir=out_dir.parent) as joined:
        return _save_merged(base, [join_adapters(adapter, Path(joined) / "joined", skills)], torch.float32, out_dir)


def _save_merged(base: BaseModel, adapters: Sequence[Path], dtype: torch.dtype, out_dir: Path) -> Path:
    from safetensors import SafetensorError

    from persona_training.models import load_base, load_tokenizer, merge_adapters

    model = merge_adapters(load_base(base.folder, dtype), adapters)
    try:
        model.save_pretrained(str(out_dir))
        load_tokenizer(base.folder).save_pretrained(str(out_dir))
    except (OSError, SafetensorError) as error:
        raise StorageError(f"Cannot write the merged model into {out_dir}: {error}. Free some space.") from error
    return out_dir


def _joined_pins(layers: Sequence[Weighted], out_dir: Path) -> dict[str, Any]:
    manifests = [read_adapter(layer.folder) for layer in layers]
    return {
        "schema": "casiopy/joined-v1",
        "base_model": manifests[0]["base_model"],
        "layers": [
            {
                "adapter_id": manifest["adapter_id"],
                "layer": manifest["layer"],
                "weights_sha256": manifest["weights"]["sha256"],
                "weight": layer.weight,
            }
            for layer, manifest in zip(layers, manifests, strict=True)
        ],
        "weights": {"file": WEIGHTS_FILE, "sha256": sha256_file(out_dir / WEIGHTS_FILE)},
    }


def _plain_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_FILE
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AdapterError(
            f"Cannot read {path}: {error}. Restore it from a backup or train the layer again."
        ) from error
    plain = isinstance(config, dict) and isinstance(config.get("target_modules"), list)
    if not plain or not all(
        isinstance(config.get(name), int | float) and config[name] > 0 for name in ("r", "lora_alpha")
    ):
        raise AdapterError(
            f"{path} says no rank, alpha and modules. Restore it from a backup or train the layer again."
        )
    used = [name for name in UNSUPPORTED if config.get(name)]
    if used:
        raise AdapterError(f"{folder.name} uses {', '.join(used)}; only plain LoRA layers can be joined exactly.")
    return cast(dict[str, Any], config)


def _joined(layers: Sequence[Weighted], configs: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Concatenate along the rank; a layer that lacks a module adds zeros there, so every module has the same rank."""
    import torch

    loaded = [_tensors(layer.folder / WEIGHTS_FILE) for layer in layers]
    joined: dict[str, torch.Tensor] = {}
    for name in sorted({key for tensors in loaded for key in tensors}):
        like = next(tensors[name] for tensors in loaded if name in tensors)
        parts = []
        for layer, tensors, config in zip(layers, loaded, configs, strict=True):
            rank = int(config["r"])
            if name in tensors and rank != tensors[name].shape[0 if name.endswith(A_SUFFIX) else 1]:
                raise AdapterError(f"The weights in {layer.folder} do not have the rank {rank} of its {CONFIG_FILE}.")
            if name.endswith(A_SUFFIX):
                parts.append(tensors[name] if name in tensors else like.new_zeros(rank, like.shape[1]))
            elif name.endswith(B_SUFFIX):
                scale = config["lora_alpha"] / rank * layer.weight
                parts.append(tensors[name] * scale if name in tensors else like.new_zeros(like.shape[0], rank))
            else:
                raise AdapterError(f"Unexpected tensor {name} in the stack; only plain LoRA layers can be joined.")
        joined[name] = torch.cat(parts, dim=0 if name.endswith(A_SUFFIX) else 1).contiguous()
    return joined


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise AdapterError(
            f"Cannot read {path}: {error}. Restore it from a backup or train the layer again."
        ) from error
