"""Everything a run decides before its first step: base, parent, data, order, folder and manifest."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from persona_training.adapters import (
    Manifest,
    adapter_chain,
    adapters_in,
    check_base,
    finished_adapter,
    read_adapter,
)
from persona_training.bases import BaseModel, find_base
from persona_training.chat_template import Example
from persona_training.config import Recipe, recipe_from
from persona_training.datasets import Dataset, conversations, load_dataset
from persona_training.display import Display
from persona_training.errors import AdapterError, DatasetError
from persona_training.examples import Encoded, encode_rows, require_examples
from persona_training.hardware import Hardware, choose_hardware
from persona_training.hashing import sha256_text
from persona_training.models import load_tokenizer
from persona_training.replay import replay_dataset
from persona_training.run_folder import now
from persona_training.schedule import Schedule, plan, replay_count
from persona_training.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PINNED = ("torch", "transformers", "peft", "accelerate", "tokenizers", "safetensors", "numpy")


@dataclass(frozen=True)
class Request:
    """What the operator asked for.

    Attributes:
        recipe: with the command line's overrides applied.
        dataset: what `--dataset` named.
        week, year: of an episodic layer; year None takes the dataset's, else the current one.
        parent: adapter id or folder for layer 2; None takes the newest finished layer 1 on this base.
        replay_dataset: personality rows to replay; empty takes the parent's own dataset.
    """

    recipe: Recipe
    dataset: Sequence[str]
    week: int | None = None
    year: int | None = None
    parent: str | None = None
    replay_dataset: Sequence[str] = ()


@dataclass(frozen=True)
class Prepared:
    """A run ready to go."""

    request: Request
    base: BaseModel
    hardware: Hardware
    tokenizer: PreTrainedTokenizerBase
    dataset: Dataset
    replay: Dataset | None
    parent: Manifest | None
    parents: tuple[Path, ...]
    schedule: Schedule
    val: tuple[Example, ...]
    week: tuple[int, int] | None


def prepare(request: Request, settings: Settings, display: Display) -> Prepared:
    """Find everything, check that it belongs together, and show what will be learned.

    Raises:
        PersonaTrainingError: whatever is missing or does not fit, with what to do.
    """
    recipe = request.recipe
    dataset = load_dataset(request.dataset, settings.exports_dir, request.week)
    week = _week(request, dataset)
    hardware = choose_hardware(recipe.device, recipe.dtype)
    display.fact("dataset", f"{dataset.name}: {len(dataset.train)} rows to learn, {len(dataset.val)} held out")
    display.fact("device", hardware.reason)
    with display.building_base() as progress:
        base = find_base(recipe.base_model, settings.data_dir, progress)
    display.fact("base model", f"{base.name} ({base.sha256[:12]}…)")
    parents = _parents(request, base, settings)
    parent = finished_adapter(parents[-1]) if parents else None
    if parent is not None:
        display.fact("on top of", f"{parent['adapter_id']}, merged into the base in memory; its files are only read")
    tokenizer = load_tokenizer(base.folder)
    own = encode_rows(tokenizer, dataset.conversations, recipe)
    require_examples(own, recipe, dataset.name)
    replay, replayed = _replay(recipe, parent, request, settings, tokenizer)
    schedule = plan(own.examples, replayed.examples, recipe.replay_share, recipe.steps, recipe.seed)
    val = encode_rows(tokenizer, conversations(dataset.val, dataset), recipe).examples
    _show(display, recipe, tokenizer, own, replay, schedule)
    return Prepared(request, base, hardware, tokenizer, dataset, replay, parent, tuple(parents), schedule, val, week)


def resumed_request(manifest: Manifest) -> Request:
    """The request a run was started with, from its manifest: recipe, files, parent and week."""
    week = manifest["week"] or {}
    return Request(
        recipe=recipe_from(manifest["recipe"]["config"]),
        dataset=manifest["dataset"]["source"],
        week=week.get("number"),
        year=week.get("year"),
        parent=manifest["parent"]["adapter_id"] if manifest["parent"] else None,
        replay_dataset=[path for replay in manifest["replay"] for path in replay["source"]],
    )


def check_unchanged(manifest: Manifest, prepared: Prepared) -> None:
    """Refuse to resume on other data, another base or another parent than the run began with.

    Raises:
        AdapterError, DatasetError: something changed.
    """
    check_base(manifest, prepared.base.sha256)
    fresh = run_manifest(prepared, manifest["adapter_id"])
    if fresh["dataset"]["sha256"] != manifest["dataset"]["sha256"]:
        raise DatasetError(f"The dataset of {manifest['adapter_id']} has changed since it began. Start a new run.")
    for part in ("parent", "replay", "chat_template_sha256"):
        if fresh[part] != manifest[part]:
            raise AdapterError(f"The {part} of {manifest['adapter_id']} is not what it began with. Start a new run.")


def adapter_folder(named: str, adapters_dir: Path) -> Path:
    """The folder of an adapter id, or of a path.

    Raises:
        AdapterError: there is none.
    """
    for folder in (adapters_dir / named, Path(named)):
        if (folder / "manifest.json").is_file():
            return folder
    known = ", ".join(manifest["adapter_id"] for _, manifest in adapters_in(adapters_dir)) or "none yet"
    raise AdapterError(f"No adapter {named!r}. Adapters in {adapters_dir}: {known}.")


def claim_folder(prepared: Prepared, output_dir: Path) -> tuple[str, Path]:
    """A new adapter id and its path; ids carry the second they began in, so a taken one means waiting a moment."""
    stem = "personality"
    if prepared.week is not None:
        stem = f"episodic-{prepared.week[0]}-w{prepared.week[1]:02d}"
    while True:
        adapter_id = f"{stem}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
        if not (output_dir / adapter_id).exists():
            return adapter_id, output_dir / adapter_id
        time.sleep(0.2)


def run_manifest(prepared: Prepared, adapter_id: str) -> Manifest:
    """The manifest of a run that begins now."""
    recipe, dataset, week = prepared.request.recipe, prepared.dataset, prepared.week
    lora = recipe.lora
    return {
        "schema": "casiopy/adapter-v1",
        "adapter_id": adapter_id,
        "layer": recipe.layer,
        "persona": dataset.persona,
        "week": {"year": week[0], "number": week[1]} if week else None,
        "status": "running",
        "base_model": {"name": prepared.base.name, "sha256": prepared.base.sha256},
        "parent": _parent_pin(prepared.parent),
        "dataset": {**_pin(dataset), "sha256": dataset.sha256, "rows": len(dataset.train)},
        "replay": _replay_pins(prepared),
        "recipe": {"name": recipe.name, "sha256": recipe.sha256, "config": recipe.as_dict()},
        "backend": recipe.backend,
        "device": str(prepared.hardware.device),
        "dtype": prepared.hardware.dtype_name,
        "seed": recipe.seed,
        "pins": {name: importlib.metadata.version(name) for name in PINNED},
        "chat_template_sha256": sha256_text(str(prepared.tokenizer.chat_template)),
        "lora": {
            "r": lora.r,
            "lora_alpha": lora.lora_alpha,
            "lora_dropout": lora.lora_dropout,
            "target_modules": list(lora.target_modules),
        },
        "weights": None,
        "result": None,
        "created_at": now(),
        "finished_at": None,
    }


def _pin(dataset: Dataset) -> dict[str, object]:
    return {"export_id": dataset.export_id, "source": [str(path.resolve()) for path in dataset.source]}


def _parent_pin(parent: Manifest | None) -> dict[str, str] | None:
    if parent is None:
        return None
    return {"adapter_id": parent["adapter_id"], "weights_sha256": parent["weights"]["sha256"]}


def _replay_pins(prepared: Prepared) -> list[dict[str, object]]:
    if prepared.replay is None:
        return []
    share = prepared.request.recipe.replay_share
    rows = replay_count(len(prepared.dataset.train), share)
    return [{**_pin(prepared.replay), "export_id": prepared.replay.name, "share": share, "rows": rows}]


def _week(request: Request, dataset: Dataset) -> tuple[int, int] | None:
    wanted = {1: "personality", 2: "episodic"}[request.recipe.layer]
    if dataset.kind not in (None, wanted):
        raise DatasetError(f"{dataset.name} holds {dataset.kind} rows; this command trains on {wanted} ones.")
    if request.recipe.layer == 1:
        return None
    number = request.week or (dataset.week[1] if dataset.week else None)
    if number is None or not 1 <= number <= 53:
        raise DatasetError("An episodic layer needs --week, an ISO week number from 1 to 53.")
    year = request.year or (dataset.week[0] if dataset.week else datetime.now(UTC).isocalendar().year)
    if dataset.week not in (None, (year, number)):
        raise DatasetError(f"{dataset.name} covers week {dataset.week}, not {(year, number)}. Export that week first.")
    return year, number


def _parents(request: Request, base: BaseModel, settings: Settings) -> list[Path]:
    if request.recipe.layer == 1:
        return []
    if request.parent is not None:
        folder = adapter_folder(request.parent, settings.adapters_dir)
        manifest = read_adapter(folder)
        check_base(manifest, base.sha256)
        if manifest["layer"] != 1:
            raise AdapterError(
                f"{manifest['adapter_id']} is layer {manifest['layer']}. A week is trained on top of layer 1, "
                "never on another week: weeks chained on weeks drift."
            )
        return adapter_chain(folder)
    for folder, manifest in adapters_in(settings.adapters_dir):
        if (manifest["layer"], manifest["status"]) == (1, "finished") and manifest["base_model"][
            "sha256"
        ] == base.sha256:
            return adapter_chain(folder)
    raise AdapterError(
        f"No finished personality layer on {base.name} in {settings.adapters_dir}. "
        "Train one first: python training/train_personality_lora.py --dataset exports/personality/personality.jsonl"
    )


def _replay(
    recipe: Recipe,
    parent: Manifest | None,
    request: Request,
    settings: Settings,
    tokenizer: PreTrainedTokenizerBase,
) -> tuple[Dataset | None, Encoded]:
    if parent is None or recipe.replay_share == 0:
        return None, Encoded((), 0, 0)
    dataset = replay_dataset(parent, request.replay_dataset, settings)
    encoded = encode_rows(tokenizer, dataset.conversations, recipe)
    require_examples(encoded, recipe, dataset.name)
    return dataset, encoded


def _show(
    display: Display,
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerBase,
    own: Encoded,
    replay: Dataset | None,
    schedule: Schedule,
) -> None:
    if recipe.system_prompt == "omit":
        display.fact("system prompt", "left out of every row (recipe: this base's context is too small to carry it)")
    if own.divided or own.left_out:
        why = f"max_length {recipe.max_length}"
        display.fact("length", f"{own.divided} rows divided, {own.left_out} exchanges too long and left out ({why})")
    if replay is not None:
        display.fact("replay", f"{recipe.replay_share:.0%} of each epoch from {replay.name}, against forgetting")
    display.fact("order", f"{schedule.steps} steps, {schedule.epoch_rows} rows an epoch, seed {recipe.seed}")
    display.fact("loss sees", f"{own.learned_share:.0%} of {own.tokens} tokens: the assistant's words and end tokens")
    display.preview(tokenizer, own.examples[0])
