"""A run's manifest: everything it is made of, pinned by hash, and the way back from it to the same request."""

from __future__ import annotations

import importlib.metadata
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from persona_training.adapters import Manifest, check_base
from persona_training.config import recipe_from
from persona_training.datasets import Dataset
from persona_training.errors import AdapterError, DatasetError, StorageError
from persona_training.hashing import sha256_text
from persona_training.preparation import Prepared, Request
from persona_training.rebuild import Rebuild, WeekSample
from persona_training.run_folder import now
from persona_training.schedule import replay_count

PINNED = ("torch", "transformers", "peft", "accelerate", "tokenizers", "safetensors", "numpy")
# Brought by other backends and 4-bit bases; pinned where they are installed.
PINNED_IF_THERE = ("trl", "unsloth", "unsloth_zoo", "bitsandbytes", "triton", "datasets")


def claim_folder(prepared: Prepared, output_dir: Path) -> tuple[str, Path]:
    """A new adapter id and its folder, made here, so that two runs that begin in the same second never share one.

    Ids carry the second they began in; a taken one means waiting a moment.

    Raises:
        StorageError: the folder cannot be made.
    """
    stem = prepared.request.recipe.kind
    if prepared.week is not None:
        stem = f"episodic-{prepared.week[0]}-w{prepared.week[1]:02d}" + ("-rebuild" if prepared.data.rebuild else "")
    if prepared.skill is not None:
        stem = f"skill-{prepared.skill}"
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        while True:
            adapter_id = f"{stem}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
            with suppress(FileExistsError):
                (output_dir / adapter_id).mkdir()
                return adapter_id, output_dir / adapter_id
            time.sleep(0.2)
    except OSError as error:
        raise StorageError(f"Cannot write {output_dir}: {error.strerror}. Choose another --output-dir.") from error


def run_manifest(prepared: Prepared, adapter_id: str) -> Manifest:
    """The manifest of a run that begins now."""
    recipe, dataset, week = prepared.request.recipe, prepared.data.own, prepared.week
    lora = recipe.lora
    return {
        "schema": "casiopy/adapter-v1",
        "adapter_id": adapter_id,
        "layer": recipe.layer,
        "kind": recipe.kind,
        "skill": prepared.skill,
        "persona": dataset.persona,
        "week": {"year": week[0], "number": week[1]} if week else None,
        "status": "running",
        "base_model": {"name": prepared.base.name, "sha256": prepared.base.sha256},
        "parent": _parent_pin(prepared.parent),
        "dataset": {**_pin(dataset), "export_id": dataset.export_id, "rows": _own_rows(prepared)},
        "replay": _replay_pins(prepared),
        "rebuild": _rebuild_pin(prepared.data.rebuild),
        "personal_data_allowed": prepared.request.allow_personal_data,
        "recipe": {"name": recipe.name, "sha256": recipe.sha256, "config": recipe.as_dict()},
        "backend": recipe.backend,
        "device": str(prepared.hardware.device),
        "dtype": prepared.hardware.dtype_name,
        "seed": recipe.seed,
        "pins": library_versions(),
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


def library_versions() -> dict[str, str]:
    """The versions a run depends on."""
    versions = {name: importlib.metadata.version(name) for name in PINNED}
    for name in PINNED_IF_THERE:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def resumed_request(manifest: Manifest) -> Request:
    """The request a run was started with, from its manifest: recipe, files, parent, week, and what was mixed in.

    Raises:
        AdapterError: the manifest does not say it.
        RecipeError: its recipe is none.
    """
    try:
        return _resumed(manifest)
    except (KeyError, TypeError, AttributeError) as error:
        raise AdapterError(
            f"The manifest of {manifest['adapter_id']} is damaged ({error!r}). Start a new run."
        ) from error


def _resumed(manifest: Manifest) -> Request:
    week = manifest["week"] or {}
    rebuild = manifest.get("rebuild")
    mixed: dict[str, list[str]] = {"personality": [], "week": [], "general": []}
    for replay in manifest["replay"]:
        mixed[replay.get("kind", "personality")] += replay["source"] if replay.get("origin") != "base" else []
    weeks = [path for sample in rebuild["weeks"] for path in sample["source"]] if rebuild else []
    return Request(
        recipe=recipe_from(manifest["recipe"]["config"]),
        dataset=weeks or manifest["dataset"]["source"],
        week=week.get("number") if not rebuild else None,
        year=week.get("year") if not rebuild else None,
        parent=manifest["parent"]["adapter_id"] if manifest["parent"] else None,
        replay_dataset=mixed["personality"],
        general_dataset=mixed["general"],
        skill=manifest.get("skill"),
        half_life_weeks=rebuild["half_life_weeks"] if rebuild else None,
        allow_personal_data=manifest.get("personal_data_allowed"),
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
    for part in ("parent", "replay", "rebuild", "chat_template_sha256"):
        if _known(fresh[part], manifest.get(part)) != manifest.get(part):
            raise AdapterError(f"The {part} of {manifest['adapter_id']} is not what it began with. Start a new run.")


def changed_libraries(manifest: Manifest) -> list[str]:
    """What is not the version the run began with: the resumed weights may then differ in their last bits."""
    here = library_versions()
    return [
        f"{name} {version} → {here.get(name, 'gone')}"
        for name, version in manifest["pins"].items()
        if here.get(name) != version
    ]


def _known(fresh: Any, recorded: Any) -> Any:
    """The fresh value, reduced to the keys an older manifest recorded."""
    if isinstance(fresh, list) and isinstance(recorded, list) and len(fresh) == len(recorded):
        return [_known(new, old) for new, old in zip(fresh, recorded, strict=True)]
    if isinstance(fresh, dict) and isinstance(recorded, dict):
        return {name: value for name, value in fresh.items() if name in recorded}
    return fresh


def _pin(dataset: Dataset) -> dict[str, Any]:
    return {"sha256": dataset.sha256, "source": [str(path.resolve()) for path in dataset.source]}


def _own_rows(prepared: Prepared) -> int:
    """Rows of the dataset itself; the older weeks of a rebuild are counted where they are named."""
    return prepared.data.rebuild.weeks[-1].taken if prepared.data.rebuild else len(prepared.data.own.train)


def _parent_pin(parent: Manifest | None) -> dict[str, str] | None:
    if parent is None:
        return None
    return {"adapter_id": parent["adapter_id"], "weights_sha256": parent["weights"]["sha256"]}


def _replay_pins(prepared: Prepared) -> list[dict[str, Any]]:
    """Everything that is not the dataset itself: personality rows, older weeks, neutral rows.

    The memory service follows a person's words through these export ids, so whatever is learned from is named here.
    """
    recipe, own = prepared.request.recipe, len(prepared.data.own.train)
    pins = []
    if prepared.data.replay is not None:
        rows = replay_count(own, recipe.replay_share, recipe.general_share)
        pins.append(_mixed("personality", prepared.data.replay, recipe.replay_share, rows))
    if prepared.data.rebuild is not None:
        share = 1 - recipe.replay_share - recipe.general_share
        pins += [
            _mixed("week", w.dataset, round(share * w.taken / own, 6), w.taken) for w in prepared.data.rebuild.older
        ]
    if prepared.data.general is not None:
        rows = replay_count(own, recipe.general_share, recipe.replay_share)
        origin = {"origin": "dataset" if prepared.request.general_dataset else "base"}
        pins.append({**_mixed("general", prepared.data.general, recipe.general_share, rows), **origin})
    return pins


def _mixed(kind: str, dataset: Dataset, share: float, rows: int) -> dict[str, Any]:
    return {**_pin(dataset), "kind": kind, "export_id": dataset.name, "share": share, "rows": rows}


def _rebuild_pin(rebuild: Rebuild | None) -> dict[str, Any] | None:
    if rebuild is None:
        return None
    return {"half_life_weeks": rebuild.half_life_weeks, "weeks": [_week_pin(sample) for sample in rebuild.weeks]}


def _week_pin(sample: WeekSample) -> dict[str, Any]:
    return {
        **_pin(sample.dataset),
        "year": sample.year,
        "number": sample.number,
        "export_id": sample.dataset.export_id,
        "share": round(sample.share, 6),
        "rows": sample.taken,
        "of": len(sample.dataset.train),
    }
