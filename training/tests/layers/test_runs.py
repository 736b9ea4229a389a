"""A run's life: the seam's files while it goes on, stopping, resuming to the same bits, and dying."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from persona_training.adapters import read_adapter
from persona_training.backends.checkpoints import latest_checkpoint
from persona_training.display import Display
from persona_training.errors import AdapterError, DatasetError
from persona_training.hashing import sha256_file
from persona_training.run_folder import RunFolder
from persona_training.testing import World, read_metrics, small_recipe
from persona_training.training_run import RunResult, resume

pytestmark = pytest.mark.training

SCRIPT = Path(__file__).parents[2] / "train_personality_lora.py"
# Runs a script that is killed once step 5 is recorded: from outside, a quick machine would be at its end by then.
KILLED = """
import os, runpy, signal, sys
from persona_training.run_folder import RunFolder

record = RunFolder.add

def record_then_die(run, done):
    line = record(run, done)
    if done.step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return line

RunFolder.add = record_then_die
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def weights_hash(folder: Path) -> str:
    return sha256_file(folder / "adapter_model.safetensors")


def stop_after(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Send this process a real SIGTERM once that step is recorded."""
    record = RunFolder.add

    def record_then_stop(run: RunFolder, done: Any) -> dict[str, Any]:
        line = record(run, done)
        if done.step == step and done.loss is not None:
            os.kill(os.getpid(), signal.SIGTERM)
        return line

    monkeypatch.setattr(RunFolder, "add", record_then_stop)


@pytest.fixture(scope="module")
def uninterrupted(shared_world: World, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    world = shared_world.elsewhere(tmp_path_factory.mktemp("whole"))
    return world.train(small_recipe(world.base), Display())


def test_the_files_of_the_seam_follow_their_schemas(
    layer_1: RunResult, layer_2: RunResult, uninterrupted: RunResult, schemas: dict[str, Any]
) -> None:
    for result in (layer_1, layer_2, uninterrupted):
        jsonschema.validate(json.loads((result.folder / "manifest.json").read_text("utf-8")), schemas["adapter-v1"])
        jsonschema.validate(json.loads((result.folder / "run.json").read_text("utf-8")), schemas["run-v1"])
        for line in read_metrics(result.folder):
            jsonschema.validate(line, schemas["metrics-v1"])
        assert (result.folder / "adapter_config.json").is_file()
        assert (result.folder / "tokenizer.json").is_file()


def test_every_step_has_its_line(uninterrupted: RunResult) -> None:
    lines = read_metrics(uninterrupted.folder)
    assert [line["step"] for line in lines if line["loss"] is not None] == list(range(1, 9))
    assert [line["step"] for line in lines if line["eval_loss"] is not None] == [4, 8]
    assert [line["tokens"] for line in lines] == sorted(line["tokens"] for line in lines)
    assert lines[-1]["tokens"] == uninterrupted.manifest["result"]["tokens"]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    uninterrupted: RunResult, world: World, display: Display
) -> None:
    again = world.train(small_recipe(world.base), display)
    other = world.train(small_recipe(world.base, seed=8), display)
    assert weights_hash(again.folder) == weights_hash(uninterrupted.folder)
    assert weights_hash(other.folder) != weights_hash(uninterrupted.folder)


@pytest.mark.parametrize("step", [3, 4])
def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    step: int, uninterrupted: RunResult, world: World, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        stop_after(patched, step)
        stopped = world.train(small_recipe(world.base), display)
    assert stopped.interrupted
    assert read_adapter(stopped.folder)["status"] == "interrupted"
    assert not (stopped.folder / "adapter_model.safetensors").exists()
    finished = resume(stopped.manifest["adapter_id"], world.settings, display)
    assert finished.manifest["status"] == "finished"
    assert weights_hash(finished.folder) == weights_hash(uninterrupted.folder)
    kept = ("step", "loss", "eval_loss", "learning_rate", "grad_norm", "tokens", "epoch")
    whole = [{name: line[name] for name in kept} for line in read_metrics(uninterrupted.folder)]
    assert [{name: line[name] for name in kept} for line in read_metrics(finished.folder)] == whole


def test_a_packed_run_ends_early_with_its_best_step_in_the_manifest_resumed_or_not(
    world: World, display: Display, monkeypatch: pytest.MonkeyPatch, schemas: dict[str, Any], tmp_path: Path
) -> None:
    """The rate is so high that the held-out loss rises after the first evaluations."""
    steps = {"learning_rate": 0.2, "max_steps": 12, "eval_every": 1, "patience": 2, "save_every": 2}
    recipe = small_recipe(world.base, packing=True, steps=steps)
    whole = world.train(recipe, display)
    elsewhere = world.elsewhere(tmp_path / "resumed")
    with monkeypatch.context() as patched:
        stop_after(patched, 1)
        stopped = elsewhere.train(recipe, display)
    resumed = resume(stopped.manifest["adapter_id"], elsewhere.settings, display)
    jsonschema.validate(whole.manifest, schemas["adapter-v1"])
    lines = read_metrics(whole.folder)
    held_out = {line["step"]: line["eval_loss"] for line in lines if line["eval_loss"] is not None}
    best = min(held_out, key=lambda step: held_out[step])
    result = whole.manifest["result"]
    assert (result["best_step"], result["eval_loss"]) == (best, held_out[best])
    assert result["steps"] == best + 2 < 12
    assert "best weights are those of step" in json.loads((whole.folder / "run.json").read_text("utf-8"))["message"]
    assert weights_hash(resumed.folder) == weights_hash(whole.folder)
    assert {name: resumed.manifest["result"][name] for name in ("best_step", "steps", "tokens")} == {
        name: result[name] for name in ("best_step", "steps", "tokens")
    }


def test_a_killed_run_resumes_from_its_last_checkpoint(
    uninterrupted: RunResult, world: World, display: Display, tmp_path: Path
) -> None:
    recipe = small_recipe(world.base)
    config = tmp_path / "recipe.yaml"
    config.write_text(yaml.safe_dump(json.loads(json.dumps(recipe.as_dict()))), encoding="utf-8")
    environment = {
        **os.environ,
        "EXPORTS_DIR": str(world.settings.exports_dir),
        "LORA_ADAPTERS_DIR": str(world.settings.adapters_dir),
        "CASIOPY_DATA": str(world.settings.data_dir),
        "MEMORY_SERVICE_URL": world.settings.memory_service_url,
    }
    command = [sys.executable, "-c", KILLED, str(SCRIPT), "--config", str(config)]
    command += ["--dataset", world.personality["export_id"]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (folder,) = world.settings.adapters_dir.iterdir()
    assert read_metrics(folder)[-1]["step"] == 5
    (folder / "checkpoints" / "checkpoint-6").mkdir(exist_ok=True)  # as if killed while saving
    checkpoint = latest_checkpoint(folder)
    assert checkpoint is not None
    assert checkpoint.name == "checkpoint-4"
    assert read_adapter(folder)["status"] == "running"
    finished = resume(folder.name, world.settings, display)
    assert weights_hash(finished.folder) == weights_hash(uninterrupted.folder)
    assert [line["step"] for line in read_metrics(folder) if line["loss"] is not None] == list(range(1, 9))


def test_a_finished_run_is_not_resumed(uninterrupted: RunResult, world: World, display: Display) -> None:
    with pytest.raises(AdapterError, match="nothing to resume"):
        resume(str(uninterrupted.folder), world.settings, display)


def test_a_run_is_not_resumed_on_a_changed_dataset(
    world: World, display: Display, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    source = world.settings.exports_dir / world.personality["export_id"] / "train.jsonl"
    lines = source.read_text("utf-8").splitlines(keepends=True)
    rows.write_text("".join(lines[:30]), encoding="utf-8")
    from persona_training.preparation import Request
    from persona_training.training_run import train

    with monkeypatch.context() as patched:
        stop_after(patched, 2)
        request = Request(small_recipe(world.base), [str(rows)], allow_personal_data="invented people")
        stopped = train(request, world.settings, display)
    rows.write_text("".join(lines[:31]), encoding="utf-8")
    with pytest.raises(DatasetError, match="has changed"):
        resume(stopped.manifest["adapter_id"], world.settings, display)


def test_the_heartbeat_goes_on_without_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("persona_training.run_folder.HEARTBEAT_SECONDS", 0.05)
    run, before = RunFolder(tmp_path / "run", "personality-20260101T000000"), set(threading.enumerate())
    run.open()
    first = json.loads((run.path / "run.json").read_text("utf-8"))["heartbeat_at"]
    deadline = time.monotonic() + 60
    while json.loads((run.path / "run.json").read_text("utf-8"))["heartbeat_at"] == first:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    run.close("finished", "done")
    assert "heartbeat" not in {thread.name for thread in set(threading.enumerate()) - before}
    assert json.loads((run.path / "run.json").read_text("utf-8"))["status"] == "finished"
