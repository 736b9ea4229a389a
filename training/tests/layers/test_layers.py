"""Layer 2 on layer 1: what it records, what it refuses, and the exact join of both."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from persona_training.adapters import adapter_chain, check_base, check_parent, finished_adapter, read_adapter
from persona_training.bases import find_base
from persona_training.display import Display
from persona_training.errors import AdapterError, DatasetError
from persona_training.hashing import sha256_file
from persona_training.joining import join_adapters, merge_to_folder
from persona_training.preparation import Request, prepare
from persona_training.testing import World, small_recipe
from persona_training.training_run import RunResult

pytestmark = pytest.mark.training


def logits(base: Path, adapters: list[Path]) -> Any:
    import torch
    from persona_training.models import load_base, load_tokenizer, merge_adapters

    model = merge_adapters(load_base(base, torch.float32), adapters)
    ids = load_tokenizer(base)("<|im_start|>user\nhola mortal<|im_end|>\n", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        return model(input_ids=ids).logits


def test_layer_2_records_its_parent_and_its_replay(layer_1: RunResult, layer_2: RunResult) -> None:
    manifest = layer_2.manifest
    assert manifest["layer"] == 2
    assert manifest["week"] == {"year": 2026, "number": 4}
    assert manifest["adapter_id"].startswith("episodic-2026-w04-")
    assert manifest["parent"] == {
        "adapter_id": layer_1.manifest["adapter_id"],
        "weights_sha256": layer_1.manifest["weights"]["sha256"],
    }
    (replay,) = manifest["replay"]
    assert replay["export_id"] == layer_1.manifest["dataset"]["export_id"]
    assert replay["share"] == 0.25
    assert replay["rows"] / (replay["rows"] + manifest["dataset"]["rows"]) == pytest.approx(0.25, abs=0.02)


def test_training_layer_2_leaves_layer_1_untouched(layer_1: RunResult, layer_2: RunResult) -> None:
    assert layer_2.manifest["parent"]["weights_sha256"] == sha256_file(layer_1.folder / "adapter_model.safetensors")
    finished_adapter(layer_1.folder)


def test_the_stack_is_base_then_layer_1_then_layer_2(layer_1: RunResult, layer_2: RunResult) -> None:
    assert adapter_chain(layer_2.folder) == [layer_1.folder, layer_2.folder]


def test_joined_layers_give_the_logits_of_the_stack(
    tiny_base: Path, layer_1: RunResult, layer_2: RunResult, tmp_path: Path
) -> None:
    stacked = logits(tiny_base, [layer_1.folder, layer_2.folder])
    joined = join_adapters(layer_2.folder, tmp_path / "joined")
    config = json.loads((joined / "adapter_config.json").read_text("utf-8"))
    assert config["r"] == config["lora_alpha"] == 16 + 4
    assert (logits(tiny_base, [joined]) - stacked).abs().max() < 1e-4
    assert (logits(tiny_base, [layer_1.folder]) - stacked).abs().max() > 1e-2


def test_the_merged_folder_gives_the_logits_of_the_stack(
    tiny_base: Path, layer_1: RunResult, layer_2: RunResult, tmp_path: Path
) -> None:
    base = find_base(str(tiny_base), tmp_path)
    merged = merge_to_folder(base, layer_2.folder, tmp_path / "merged")
    assert (logits(merged, []) - logits(tiny_base, [layer_1.folder, layer_2.folder])).abs().max() < 1e-5


def copy_of(result: RunResult, folder: Path) -> Path:
    return Path(shutil.copytree(result.folder, folder / result.folder.name))


def test_changed_weights_are_refused(layer_1: RunResult, layer_2: RunResult, tmp_path: Path) -> None:
    parent, child = copy_of(layer_1, tmp_path), copy_of(layer_2, tmp_path)
    with (parent / "adapter_model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    with pytest.raises(AdapterError, match="changed after training"):
        adapter_chain(child)


def test_another_parent_is_refused(layer_1: RunResult, layer_2: RunResult) -> None:
    other = {**layer_1.manifest, "weights": {"file": "adapter_model.safetensors", "sha256": "0" * 64}}
    with pytest.raises(AdapterError, match="trained on top of"):
        check_parent(layer_2.manifest, other)


def test_another_base_is_refused(layer_1: RunResult) -> None:
    with pytest.raises(AdapterError, match="same --base-model"):
        check_base(layer_1.manifest, "0" * 64)


def test_a_week_is_never_stacked_on_a_week(
    shared_world: World, layer_2: RunResult, display: Display, tmp_path: Path
) -> None:
    request = Request(
        small_recipe(shared_world.base, layer=2),
        [shared_world.week_04["export_id"]],
        week=4,
        parent=layer_2.manifest["adapter_id"],
    )
    with pytest.raises(AdapterError, match="never on another week"):
        prepare(request, shared_world.settings, display)


@pytest.mark.parametrize(
    ("week", "year", "message"),
    [(5, None, r"covers week \(2026, 4\)"), (4, 2025, r"covers week \(2026, 4\)")],
)
def test_a_week_that_the_dataset_does_not_cover_is_refused(
    week: int, year: int | None, message: str, shared_world: World, layer_1: RunResult, display: Display
) -> None:
    recipe = small_recipe(shared_world.base, layer=2)
    with pytest.raises(DatasetError, match=message):
        prepare(
            Request(recipe, [shared_world.week_04["export_id"]], week=week, year=year), shared_world.settings, display
        )


def test_each_layer_refuses_the_other_ones_dataset(shared_world: World, display: Display) -> None:
    request = Request(small_recipe(shared_world.base), [shared_world.week_04["export_id"]])
    with pytest.raises(DatasetError, match="holds episodic rows"):
        prepare(request, shared_world.settings, display)


def test_without_a_layer_1_the_message_says_how_to_train_one(world: World, display: Display) -> None:
    request = Request(small_recipe(world.base, layer=2), [world.week_04["export_id"]], week=4)
    with pytest.raises(AdapterError, match=r"train_personality_lora\.py"):
        prepare(request, world.settings, display)


def test_an_unfinished_parent_is_refused(world: World, layer_1: RunResult, display: Display) -> None:
    world.settings.adapters_dir.mkdir()
    parent = copy_of(layer_1, world.settings.adapters_dir)
    manifest = {**read_adapter(parent), "status": "interrupted"}
    (parent / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    request = Request(
        small_recipe(world.base, layer=2), [world.week_04["export_id"]], week=4, parent=manifest["adapter_id"]
    )
    with pytest.raises(AdapterError, match="interrupted, not finished"):
        prepare(request, world.settings, display)
