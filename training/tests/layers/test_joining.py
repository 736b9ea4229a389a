"""A week and its skills as one adapter: exact, weighted, made of layers only; and layer 1 merged in 16 bits."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from persona_training.adapters import read_adapter
from persona_training.backends.hf import TransformersBackend
from persona_training.bases import BaseModel, find_base
from persona_training.cli import main
from persona_training.display import Display
from persona_training.errors import AdapterError, RecipeError, StorageError
from persona_training.joining import Weighted, join_adapters, merge_to_folder, merged_base
from persona_training.models import load_base, load_tokenizer, merge_adapters
from persona_training.preparation import Request, prepare
from persona_training.testing import World
from persona_training.training_run import RunResult

pytestmark = pytest.mark.training

Trained = Callable[[str], RunResult]


def logits_of(model: Any, base: Path) -> Any:
    import torch

    ids = load_tokenizer(base)("<|im_start|>user\nhola mortal, ¿qué tal?<|im_end|>\n", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        return model(input_ids=ids).logits


def logits(base: Path, adapters: Sequence[Path]) -> Any:
    import torch

    return logits_of(merge_adapters(load_base(base, torch.float32), adapters), base)


def added_by_hand(base: Path, layers: Sequence[tuple[Path, float]]) -> Any:
    """The base in float32 with every layer's weight · alpha / r · B·A added to its matrices, and its logits."""
    import torch
    from safetensors.torch import load_file

    model = load_base(base, torch.float32)
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for folder, weight in layers:
            config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
            tensors = load_file(folder / "adapter_model.safetensors")
            for name in (name for name in tensors if name.endswith(".lora_A.weight")):
                stem = name.removesuffix(".lora_A.weight")
                update = tensors[f"{stem}.lora_B.weight"] @ tensors[name]
                scale = weight * config["lora_alpha"] / config["r"]
                weights[f"{stem.removeprefix('base_model.model.')}.weight"] += scale * update
    return logits_of(model, base)


@pytest.fixture
def base(house: World) -> BaseModel:
    return find_base(str(house.base), house.settings.data_dir)


def test_a_week_and_its_skills_are_joined_exactly(
    house: World, base: BaseModel, ground: RunResult, trained: Trained, tmp_path: Path
) -> None:
    week, skill, preference = (trained(kind).folder for kind in ("week", "skill", "dpo"))
    added = [Weighted(skill, 0.7), Weighted(preference)]
    joined = join_adapters(week, tmp_path / "joined", added)
    wanted = added_by_hand(house.base, [(ground.folder, 1.0), (week, 1.0), (skill, 0.7), (preference, 1.0)])
    assert (logits(house.base, [joined]) - wanted).abs().max() < 1e-5
    merged = merge_to_folder(base, week, tmp_path / "merged", added)
    assert (logits(merged, []) - wanted).abs().max() < 1e-5
    louder = added_by_hand(house.base, [(ground.folder, 1.0), (week, 1.0), (skill, 1.0), (preference, 1.0)])
    assert (louder - wanted).abs().max() > 1e-3
    config = json.loads((joined / "adapter_config.json").read_text("utf-8"))
    assert config["r"] == config["lora_alpha"] == 16 + 4 + 4 + 4
    seal = json.loads((joined / "joined.json").read_text("utf-8"))
    assert [(layer["layer"], layer["weight"]) for layer in seal["layers"]] == [(1, 1.0), (2, 1.0), (3, 0.7), (3, 1.0)]


def test_a_join_is_refused_wherever_a_layer_belongs(
    house: World, requests: dict[str, Request], trained: Trained, display: Display, tmp_path: Path
) -> None:
    week, skill = trained("week").folder, trained("skill").folder
    joined = join_adapters(week, tmp_path / "joined-week", [Weighted(skill)])
    message = f"joined-week is already a joined adapter, made of .*{week.name}, {skill.name}"
    for refused in (
        lambda: join_adapters(joined, tmp_path / "again"),
        lambda: join_adapters(week, tmp_path / "again", [Weighted(joined)]),
        lambda: read_adapter(joined),
        lambda: prepare(Request(requests["skill"].recipe, ["skill"], parent=str(joined)), house.settings, display),
    ):
        with pytest.raises(AdapterError, match=message):
            refused()


def test_what_cannot_be_added_is_refused_by_name(ground: RunResult, trained: Trained, tmp_path: Path) -> None:
    week, skill, rebuild = (trained(kind).folder for kind in ("week", "skill", "rebuild"))
    stranger = Path(shutil.copytree(skill, tmp_path / skill.name))
    manifest = read_adapter(stranger)
    manifest["parent"]["weights_sha256"] = "0" * 64
    (stranger / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    for added, message in (
        ([Weighted(rebuild)], f"{rebuild.name} is layer 2; only skills"),
        ([Weighted(ground.folder)], "is layer 1; only skills"),
        ([Weighted(skill, 0.4)], r"is 0\.4; give 0\.5 to 1"),
        ([Weighted(skill, 1.1)], r"is 1\.1; give 0\.5 to 1"),
        ([Weighted(skill), Weighted(skill, 0.5)], f"{skill.name} is given twice"),
        ([Weighted(stranger)], "was trained on top of"),
    ):
        with pytest.raises(AdapterError, match=message):
            join_adapters(week, tmp_path / "joined", added)
    assert not (tmp_path / "joined").exists()


def test_the_command_joins_by_id_with_a_weight(
    house: World, ground: RunResult, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_ADAPTERS_DIR", str(house.settings.adapters_dir))
    week, skill = trained("week").folder.name, trained("skill").folder.name
    done = CliRunner().invoke(main, ["join", week, "--skill", f"{skill}=0.5"])
    assert done.exit_code == 0, done.output
    joined = house.settings.adapters_dir / "joined" / f"{week}+{skill}=0.5"
    assert json.loads((joined / "joined.json").read_text("utf-8"))["layers"][2]["weight"] == 0.5
    again = CliRunner().invoke(main, ["join", str(joined)])
    assert again.exit_code == 1
    assert "already a joined adapter" in again.output
    assert CliRunner().invoke(main, ["join", week, "--skill", f"{skill}=much"]).exit_code == 2


def test_layer_1_is_merged_once_in_16_bits_for_a_4_bit_run(
    house: World, base: BaseModel, ground: RunResult, tmp_path: Path
) -> None:
    import torch

    folder = merged_base(base, [ground.folder], torch.bfloat16, tmp_path)
    merged = load_base(folder, torch.bfloat16)
    wanted = merge_adapters(load_base(house.base, torch.bfloat16), [ground.folder])
    for name, weight in wanted.named_parameters():
        assert torch.equal(weight, merged.get_parameter(name))
    made = (folder / "model.safetensors").stat().st_mtime_ns
    assert merged_base(base, [ground.folder], torch.bfloat16, tmp_path) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == made
    other = merged_base(base, [], torch.bfloat16, tmp_path)
    assert other != folder
    (other / "merged.json").unlink()  # ended between naming and sealing it
    (other / "left.txt").write_text("", encoding="utf-8")
    assert merged_base(base, [], torch.bfloat16, tmp_path) == other
    assert not (other / "left.txt").exists()
    (other / "merged.json").write_text("{", encoding="utf-8")
    with pytest.raises(AdapterError, match="Delete that folder"):
        merged_base(base, [], torch.bfloat16, tmp_path)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match="CASIOPY_DATA"):
        merged_base(base, [], torch.bfloat16, tmp_path / "file")
    assert not list((tmp_path / "merged").glob(".merging-*"))
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(AdapterError, match=f"merged base in {folder} changed"):
        merged_base(base, [ground.folder], torch.bfloat16, tmp_path)
    with pytest.raises(AdapterError, match="trained on the base"):
        merged_base(BaseModel("other", base.folder, "0" * 64), [ground.folder], torch.bfloat16, tmp_path)


def test_a_4_bit_run_is_given_the_merged_base_and_nothing_to_merge(
    house: World,
    requests: dict[str, Request],
    ground: RunResult,
    display: Display,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    settings = dataclasses.replace(house.settings, data_dir=tmp_path)
    recipe = dataclasses.replace(requests["skill"].recipe, load_in_4bit=True, general_share=0.0)
    with pytest.raises(RecipeError, match="load_in_4bit needs a CUDA GPU"):
        prepare(Request(recipe, ["skill"]), settings, display)
    assert not (tmp_path / "merged").exists()
    # As where there is such a GPU: the foundation is laid before anything is quantised.
    monkeypatch.setattr(TransformersBackend, "check", lambda *_: None)
    prepared = prepare(Request(recipe, ["skill"]), settings, display)
    assert prepared.to_merge == ()
    assert prepared.load_from.parent == tmp_path / "merged"
    assert prepared.parents == (ground.folder,)
