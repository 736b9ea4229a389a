"""Where a join may be written: never over a layer, never over something else, and whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from persona_training.cli import main
from persona_training.errors import AdapterError, StorageError
from persona_training.hashing import sha256_file
from persona_training.joining import join_adapters
from safetensors.torch import load_file, save_file

LAYER_1 = "personality-20260101T000000"
STEM = "base_model.model.layers.0.q_proj"


@pytest.fixture
def adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An adapters folder with one layer 1 of rank 2 on one 3 x 4 matrix."""
    folder = tmp_path / "adapters"
    layer = folder / LAYER_1
    layer.mkdir(parents=True)
    weights = layer / "adapter_model.safetensors"
    save_file({f"{STEM}.lora_A.weight": torch.ones(2, 4), f"{STEM}.lora_B.weight": torch.ones(3, 2)}, weights)
    config = {"r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
    (layer / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    manifest = {
        "schema": "casiopy/adapter-v1",
        "adapter_id": LAYER_1,
        "layer": 1,
        "status": "finished",
        "created_at": "2026-01-01T00:00:00Z",
        "base_model": {"name": "base", "sha256": "c" * 64},
        "recipe": {"name": "x", "config": {}},
        "parent": None,
        "weights": {"file": weights.name, "sha256": sha256_file(weights)},
    }
    (layer / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    monkeypatch.setenv("LORA_ADAPTERS_DIR", str(folder))
    return folder


def join(out_dir: Path) -> Result:
    result = CliRunner().invoke(main, ["join", LAYER_1, "--output-dir", str(out_dir)], env={"COLUMNS": "300"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def in_the_layer(adapters: Path) -> Path:
    return adapters / LAYER_1


def through_a_link(adapters: Path) -> Path:
    link = adapters.parent / "link"
    link.symlink_to(adapters / LAYER_1)
    return link


def in_the_adapters_folder(adapters: Path) -> Path:
    return adapters


def in_an_older_join_beside_a_manifest(adapters: Path) -> Path:
    folder = adapters.parent / "both"
    folder.mkdir()
    for name in ("joined.json", "manifest.json"):
        (folder / name).write_text("{}", encoding="utf-8")
    return folder


def in_a_folder_of_others(adapters: Path) -> Path:
    (adapters.parent / "mine").mkdir()
    (adapters.parent / "mine" / "adapter_model.safetensors").write_bytes(b"mine")
    return adapters.parent / "mine"


def in_an_older_join_with_a_note(adapters: Path) -> Path:
    joined = join_adapters(adapters / LAYER_1, adapters.parent / "joined")
    (joined / "note.txt").write_text("mine", encoding="utf-8")
    return joined


def in_a_file(adapters: Path) -> Path:
    (adapters.parent / "file").write_bytes(b"mine")
    return adapters.parent / "file"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (in_the_layer, "is a layer's own folder"),
        (through_a_link, "is a layer's own folder"),
        (in_the_adapters_folder, "is the folder of all adapters"),
        (in_an_older_join_beside_a_manifest, "is a layer's own folder"),
        (in_a_folder_of_others, "holds something else than an older join"),
        (in_an_older_join_with_a_note, "note.txt"),
        (in_a_file, "is a file"),
    ],
)
def test_a_join_takes_nothing_elses_place(adapters: Path, place: Callable[[Path], Path], message: str) -> None:
    out_dir = place(adapters)
    before = everything(adapters.parent)
    result = join(out_dir)
    assert result.exit_code == 1
    assert message in result.output
    assert everything(adapters.parent) == before


def test_an_older_join_and_an_empty_folder_are_replaced(adapters: Path, tmp_path: Path) -> None:
    out_dir = tmp_path / "empty"
    out_dir.mkdir()
    for _ in range(2):
        assert join(out_dir).exit_code == 0
        assert names(out_dir) == ["adapter_config.json", "adapter_model.safetensors", "joined.json"]
        joined = load_file(out_dir / "adapter_model.safetensors")
        assert torch.equal(joined[f"{STEM}.lora_B.weight"], torch.full((3, 2), 2.0))
        (out_dir / "adapter_model.safetensors").write_bytes(b"older")
    assert names(tmp_path) == ["adapters", "empty"]


def test_a_place_that_cannot_be_written_is_said(adapters: Path) -> None:
    for place in (Path("/proc/x"), in_a_file(adapters) / "below"):
        result = join(place)
        assert result.exit_code == 1
        assert "Cannot write the joined adapter into" in result.output
        assert "another --output-dir" in result.output


def test_a_disk_that_fills_up_leaves_the_older_join(adapters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import safetensors.torch
    from safetensors import SafetensorError

    out_dir = join_adapters(adapters / LAYER_1, adapters / "joined" / "week")
    before = everything(adapters)

    def full(_: Any, path: Path, **__: Any) -> None:
        path.write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(StorageError, match="No space left on device"):
        join_adapters(adapters / LAYER_1, out_dir)
    assert everything(adapters) == before
    assert names(adapters / "joined") == ["week"]


def test_an_older_join_comes_back_when_the_last_step_fails(adapters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out_dir = join_adapters(adapters / LAYER_1, adapters / "joined" / "week")
    before = everything(adapters)
    rename = Path.replace

    def refused(path: Path, target: Path) -> Path:
        if path.name == "joined" and path.parent.name.startswith(".joining-"):
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(StorageError, match="Input/output error"):
        join_adapters(adapters / LAYER_1, out_dir)
    assert everything(adapters) == before


def test_a_layer_that_cannot_be_read_is_named(adapters: Path, tmp_path: Path) -> None:
    config = adapters / LAYER_1 / "adapter_config.json"
    config.write_bytes(b"{")
    with pytest.raises(AdapterError, match=f"Cannot read {config}"):
        join_adapters(adapters / LAYER_1, tmp_path / "out")
    for damaged in ("[]", "{}", '{"r": 0, "lora_alpha": 4, "target_modules": ["q_proj"]}'):
        config.write_text(damaged, encoding="utf-8")
        with pytest.raises(AdapterError, match=f"{config} says no rank, alpha and modules"):
            join_adapters(adapters / LAYER_1, tmp_path / "out")
    config.write_text('{"r": 1, "lora_alpha": 4, "target_modules": ["q_proj"]}', encoding="utf-8")
    with pytest.raises(AdapterError, match="do not have the rank 1"):
        join_adapters(adapters / LAYER_1, tmp_path / "out")
    weights = adapters / LAYER_1 / "adapter_model.safetensors"
    weights.write_bytes(b"broken")
    config.write_text('{"r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}', encoding="utf-8")
    manifest = json.loads((adapters / LAYER_1 / "manifest.json").read_text("utf-8"))
    manifest["weights"]["sha256"] = sha256_file(weights)
    (adapters / LAYER_1 / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(AdapterError, match=f"Cannot read {weights}"):
        join_adapters(adapters / LAYER_1, tmp_path / "out")
    assert not (tmp_path / "out").exists()
