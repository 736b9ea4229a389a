"""What stops a run is said in one sentence, and where a run finds its rows."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from persona_training.adapters import read_adapter
from persona_training.cli import main
from persona_training.display import Display
from persona_training.errors import DatasetError, StorageError
from persona_training.preparation import Request, prepare
from persona_training.testing import World, row, small_recipe, write_rows
from persona_training.training_run import RunResult, train

pytestmark = pytest.mark.training

CONFIGS = Path(__file__).parents[2] / "configs"
SCRIPT = Path(__file__).parents[2] / "train_personality_lora.py"


def test_the_command_trains_and_says_how_to_register_later(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CASIOPY_DATA", str(world.settings.data_dir))
    monkeypatch.setenv("EXPORTS_DIR", str(world.settings.exports_dir))
    monkeypatch.setenv("MEMORY_SERVICE_URL", world.settings.memory_service_url)
    recipe = CONFIGS / "tiny" / "personality.yaml"
    arguments = ["train-personality", "--config", str(recipe), "--base-model", str(world.base), "--max-steps", "2"]
    arguments += [
        "--dataset",
        world.personality["export_id"],
        "--output-dir",
        str(tmp_path / "adapters"),
        "--seed",
        "3",
    ]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    (folder,) = (tmp_path / "adapters").iterdir()
    for said in ("loss sees", "first example", "float32", "2 steps", f"--register {folder.name}", "does not answer"):
        assert said in " ".join(result.output.split()), said
    assert read_adapter(folder)["seed"] == 3


def test_a_full_disk_fails_clearly_and_the_run_can_go_on(world: World, tmp_path: Path) -> None:
    config = tmp_path / "recipe.json"  # JSON is YAML
    config.write_text(json.dumps(small_recipe(world.base).as_dict()), encoding="utf-8")
    environment = {
        **os.environ,
        "EXPORTS_DIR": str(world.settings.exports_dir),
        "LORA_ADAPTERS_DIR": str(world.settings.adapters_dir),
        "CASIOPY_DATA": str(world.settings.data_dir),
        "MEMORY_SERVICE_URL": world.settings.memory_service_url,
        "COLUMNS": "300",
    }
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--config", str(config), "--dataset", world.personality["export_id"]],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        # No file may grow beyond 64 KB: metrics fit, the first checkpoint does not.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, 64 << 10)),
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "Free some space" in done.stderr
    assert "--resume" in done.stderr
    (folder,) = world.settings.adapters_dir.iterdir()
    assert read_adapter(folder)["status"] == "failed"
    assert json.loads((folder / "run.json").read_text("utf-8"))["status"] == "failed"


def test_a_folder_that_cannot_be_created_is_said_so(world: World, display: Display, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    blocked = world.elsewhere(tmp_path / "file")
    with pytest.raises(StorageError, match="Choose another --output-dir"):
        blocked.train(small_recipe(world.base), display)


def test_rows_longer_than_the_base_reads_are_divided_and_counted(
    world: World, display: Display, tmp_path: Path
) -> None:
    turns = [("¿qué tal?", "Bien, gracias por preguntar.")] * 12
    rows = write_rows(
        tmp_path / "long.jsonl", [row(turns, s) for s in ("s1", "s2")] + [row([("hola " * 200, "no")], "s3")]
    )
    recipe = small_recipe(world.base, max_length=64)
    prepared = prepare(Request(recipe, [str(rows)]), world.settings, display)
    lengths = [len(example.input_ids) for example in prepared.schedule.examples]
    assert max(lengths) <= 64
    assert "exchanges too long and left out (max_length 64)" in display.console.file.getvalue()  # type: ignore[attr-defined]
    with pytest.raises(DatasetError, match="Raise max_length"):
        prepare(Request(small_recipe(world.base, max_length=16), [str(rows)]), world.settings, display)


def test_without_replay_rows_the_message_says_what_to_pass(
    shared_world: World, layer_1: RunResult, display: Display, tmp_path: Path
) -> None:
    parent = tmp_path / "adapters" / layer_1.folder.name
    shutil.copytree(layer_1.folder, parent)
    manifest = read_adapter(parent)
    manifest["dataset"]["source"] = [str(tmp_path / "gone")]
    (parent / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    settings = dataclasses.replace(shared_world.settings, exports_dir=tmp_path, adapters_dir=parent.parent)
    week = str(shared_world.settings.exports_dir / shared_world.week_04["export_id"])
    recipe = small_recipe(shared_world.base, layer=2)
    with pytest.raises(DatasetError, match="--replay-dataset"):
        prepare(Request(recipe, [week], week=4), settings, display)
    alone = prepare(Request(dataclasses.replace(recipe, replay_share=0.0), [week], week=4), settings, display)
    assert alone.data.replay is None


def test_replay_finds_the_rows_again_when_exports_have_moved(
    shared_world: World, layer_1: RunResult, display: Display, tmp_path: Path
) -> None:
    settings = dataclasses.replace(shared_world.settings, exports_dir=tmp_path)
    week = str(shared_world.settings.exports_dir / shared_world.week_04["export_id"])
    prepared = prepare(Request(small_recipe(shared_world.base, layer=2), [week], week=4), settings, display)
    assert prepared.data.replay is not None
    assert prepared.data.replay.export_id == shared_world.personality["export_id"]


def test_replay_rows_may_come_from_a_file(
    shared_world: World, layer_1: RunResult, display: Display, tmp_path: Path
) -> None:
    rows = write_rows(
        tmp_path / "persona.jsonl", [row([("hola", "*suspiro* Hola, mortal.")], f"s{i}") for i in range(20)]
    )
    request = Request(
        small_recipe(shared_world.base, layer=2),
        [shared_world.week_04["export_id"]],
        week=4,
        replay_dataset=[str(rows)],
    )
    prepared = prepare(request, shared_world.settings, display)
    assert prepared.data.replay is not None
    assert prepared.data.replay.name == "persona.jsonl"


def test_a_run_in_this_process_can_be_trained_on_a_bare_file(world: World, display: Display, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", [row([("hola", "Buenas.")], f"s{i}") for i in range(20)])
    steps = {"max_steps": 1, "eval_every": 0}
    result = train(Request(small_recipe(world.base, steps=steps), [str(rows)]), world.settings, display)
    assert result.manifest["dataset"]["export_id"] is None
    assert result.manifest["dataset"]["rows"] == 18
