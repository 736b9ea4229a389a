"""How runs end before their time, in real processes: stopped or killed in the queue, stopped while checked, disk full."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from persona_training import training_run
from persona_training.adapters import read_adapter
from persona_training.backends.watch import require_finite_weights
from persona_training.config import Recipe
from persona_training.device_queue import find_devices
from persona_training.display import Display
from persona_training.errors import AdapterError, PersonaTrainingError, RecipeError
from persona_training.hardware import choose_hardware
from persona_training.preparation import Request
from persona_training.run_folder import BALLAST, RunFolder
from persona_training.settings import Settings
from persona_training.smoke import random_base, smoke_recipe, smoke_rows
from persona_training.tensorboard_events import FOLDER
from persona_training.testing import read_metrics
from persona_training.training_run import resume, train
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

pytestmark = pytest.mark.training

# Forked, so that a process costs no second import of torch.
FORK = multiprocessing.get_context("fork")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    base = tmp_path_factory.mktemp("base")
    return dataclasses.replace(smoke_recipe(random_base(base)), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(smoke_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl"))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr("persona_training.device_queue.LOOK_SECONDS", 0.05)
    return Settings(tmp_path / "data", tmp_path / "exports", tmp_path / "adapters")


@pytest.fixture
def begin(recipe: Recipe, rows: str, settings: Settings) -> Iterator[Callable[..., Any]]:
    """Starts a run in a process of its own; `first` is called in it before."""
    processes = []

    def run(first: Callable[[], object] | None) -> None:
        if first:
            first()
        try:
            result = train(Request(recipe, [rows]), settings, silent())
        except Exception as error:
            (settings.data_dir / "error").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
            raise SystemExit(1) from error
        raise SystemExit(130 if result.interrupted else 0)

    def start(first: Callable[[], object] | None = None) -> Any:
        process = FORK.Process(target=run, args=(first,))
        process.start()
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.join(200)


def silent() -> Display:
    return Display(Console(file=StringIO(), width=160))


def wait_until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 200
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def learned(folder: Path) -> list[int]:
    """The steps of a run's metrics, evaluations apart."""
    return [line["step"] for line in read_metrics(folder) if line["loss"] is not None]


def the_run(settings: Settings, status: str) -> Path | None:
    """The one folder whose run.json says so."""
    for path in settings.adapters_dir.glob("*/run.json"):
        if json.loads(path.read_text("utf-8"))["status"] == status:
            return path.parent
    return None


def test_a_run_waits_its_turn_is_stopped_killed_and_comes_back(
    begin: Callable[..., Any], settings: Settings, schemas: dict[str, Any], display: Display
) -> None:
    device = find_devices(choose_hardware("cpu").device, settings.data_dir)[0]
    with device.taken("personality-20260101T000000", None, lambda: False):
        stopped = begin()
        folder = wait_until(lambda: the_run(settings, "queued"))
        state = json.loads((folder / "run.json").read_text("utf-8"))
        jsonschema.validate(state, schemas["run-v1"])
        assert state["pid"] == stopped.pid
        assert state["waiting_for"]["adapter_id"] == "personality-20260101T000000"
        assert "waiting for personality-20260101T000000 on CPU" in state["message"]
        with pytest.raises(AdapterError, match=f"is queued in process {stopped.pid}"):
            resume(folder.name, settings, display)
        os.kill(stopped.pid, signal.SIGTERM)
        stopped.join(200)
        assert stopped.exitcode == 130
        state = json.loads((folder / "run.json").read_text("utf-8"))
        assert (state["status"], state["waiting_for"]) == ("interrupted", None)
        assert f"--resume {folder.name}" in state["message"]
        assert read_adapter(folder)["status"] == "interrupted"

        killed = begin()
        second = wait_until(lambda: the_run(settings, "queued"))
        killed.kill()
        killed.join(200)
    for left in (folder, second):
        result = resume(left.name, settings, display)
        assert result.manifest["status"] == "finished"
        assert learned(left) == list(range(1, 11))
    assert not list((settings.data_dir / "devices").glob("*.ticket"))


def test_a_run_begins_when_the_one_before_it_ends(
    begin: Callable[..., Any], recipe: Recipe, rows: str, settings: Settings, schemas: dict[str, Any]
) -> None:
    held = settings.data_dir / "held"

    def hold_until_another_waits() -> None:
        record = RunFolder.add

        def record_once_another_waits(run: RunFolder, done: Any) -> dict[str, Any]:
            held.touch()
            wait_until(lambda: the_run(settings, "queued"))
            RunFolder.add = record  # type: ignore[method-assign]
            return record(run, done)

        RunFolder.add = record_once_another_waits  # type: ignore[method-assign]

    told = StringIO()
    first = begin(hold_until_another_waits)
    wait_until(held.exists)
    result = train(Request(recipe, [rows]), settings, Display(Console(file=told, width=400)))
    first.join(200)
    assert first.exitcode == 0
    assert result.manifest["status"] == "finished"
    other = next(path for path in settings.adapters_dir.iterdir() if path != result.folder)
    assert f"waiting for {other.name} on CPU" in told.getvalue()
    assert "CPU free, after" in told.getvalue()
    ended, began = (json.loads((path / "run.json").read_text("utf-8")) for path in (other, result.folder))
    jsonschema.validate(began, schemas["run-v1"])
    assert began["started_at"] >= ended["heartbeat_at"]
    assert began["waiting_for"] is None


def test_stopped_while_it_is_checked_it_leaves_nothing(begin: Callable[..., Any], settings: Settings) -> None:
    def stop_at_the_repeats() -> None:
        from persona_training import preflight

        preflight.check_repeats = lambda _: os.kill(os.getpid(), signal.SIGTERM)  # type: ignore[assignment]

    process = begin(stop_at_the_repeats)
    process.join(200)
    assert process.exitcode == -signal.SIGTERM
    assert not settings.adapters_dir.exists()


@pytest.mark.parametrize(
    ("largest", "stage", "told"),
    [
        (20_000, "opening", "Cannot write"),
        (80_000, "the adapter's weights", "could not be written"),
        (150_000, "the optimiser's state", "could not be written"),
    ],
)
def test_a_disk_that_takes_no_more_is_told_and_the_run_resumes(
    largest: int, stage: str, told: str, begin: Callable[..., Any], settings: Settings, display: Display
) -> None:
    process = begin(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest)))
    process.join(200)
    assert process.exitcode == 1, stage
    error = (settings.data_dir / "error").read_text("utf-8")
    assert error.startswith("StorageError")
    assert told in error
    folder = next(settings.adapters_dir.iterdir())
    if stage == "opening":
        assert [path.name for path in folder.iterdir()] in ([], [BALLAST])
        return
    assert not (folder / BALLAST).exists()
    state = json.loads((folder / "run.json").read_text("utf-8"))
    assert (state["status"], told in state["message"]) == ("failed", True)
    assert "--resume" in state["message"]
    assert read_adapter(folder)["status"] == "failed"
    assert resume(folder.name, settings, display).manifest["status"] == "finished"
    assert learned(folder) == list(range(1, 11))


def test_the_curves_of_a_resumed_run_hold_every_step_once(
    recipe: Recipe, rows: str, settings: Settings, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = RunFolder.add

    def record_then_stop(run: RunFolder, done: Any) -> dict[str, Any]:
        line = record(run, done)
        if done.step == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return line

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "add", record_then_stop)
        stopped = train(Request(recipe, [rows]), settings, display)
    # As if killed before its last checkpoint was whole: steps 6 and 7 are done twice.
    for path in (stopped.folder / "checkpoints").glob("checkpoint-7/complete.json"):
        path.unlink()
    finished = resume(stopped.manifest["adapter_id"], settings, display)
    curves = EventAccumulator(str(finished.folder / FOLDER)).Reload()
    assert {"loss/train", "learning_rate", "gradient_norm", "tokens_per_second", "epoch"} <= set(
        curves.Tags()["scalars"]
    )
    points = curves.Scalars("loss/train")
    assert [point.step for point in points] == list(range(1, 11))
    assert [point.wall_time for point in points] == sorted(point.wall_time for point in points)
    lines = [line for line in read_metrics(finished.folder) if line["loss"] is not None]
    assert [point.value for point in points] == pytest.approx([line["loss"] for line in lines], rel=1e-6)


def test_a_run_that_diverges_fails_and_says_what_to_lower(
    recipe: Recipe, rows: str, settings: Settings, display: Display
) -> None:
    loop = dataclasses.replace(recipe.steps, learning_rate=1e30, warmup_share=0.0)
    told = "is no number after step 2: lower steps.learning_rate"
    with pytest.raises(PersonaTrainingError, match=told):
        train(Request(dataclasses.replace(recipe, steps=loop), [rows]), settings, display)
    folder = next(settings.adapters_dir.iterdir())
    state = json.loads((folder / "run.json").read_text("utf-8"))
    assert (state["status"], told in state["message"]) == ("failed", True)
    assert read_adapter(folder)["status"] == "failed"
    assert "NaN" not in (folder / "metrics.jsonl").read_text("utf-8")
    assert [line["step"] for line in read_metrics(folder)] == [1]
    assert not list(folder.glob("*.safetensors"))


def test_weights_that_are_no_numbers_are_not_kept() -> None:
    model = torch.nn.Linear(2, 2)
    require_finite_weights(model, 1, 0.1)
    with torch.no_grad():
        model.weight[0, 1] = float("inf")
    with pytest.raises(PersonaTrainingError, match="A weight is no number after step 7"):
        require_finite_weights(model, 7, 0.1)
    require_finite_weights(model.requires_grad_(False), 7, 0.1)


@pytest.mark.parametrize(
    ("named", "told"),
    [("q_prj", r"'q_prj', which .* does not have; did you mean q_proj"), ("input_layernorm", r"it has: .*down_proj")],
)
def test_layers_the_base_lacks_are_refused_before_anything_is_written(
    named: str, told: str, recipe: Recipe, rows: str, settings: Settings, display: Display
) -> None:
    lora = dataclasses.replace(recipe.lora, target_modules=("v_proj", named))
    with pytest.raises(RecipeError, match=told):
        train(Request(dataclasses.replace(recipe, lora=lora), [rows]), settings, display)
    assert not settings.adapters_dir.exists()


def test_two_who_resume_one_run_do_not_meet(
    begin: Callable[..., Any], settings: Settings, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = find_devices(choose_hardware("cpu").device, settings.data_dir)[0]
    with device.taken("personality-20260101T000000", None, lambda: False):
        killed = begin()
        folder = wait_until(lambda: the_run(settings, "queued"))
        killed.kill()
        killed.join(200)
    check = training_run.check_unchanged

    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    def resume_while_checked(*given: Any, during: Callable[[], object]) -> None:
        monkeypatch.setattr(training_run, "check_unchanged", check)
        check(*given)
        during()
        seen.append(files())

    seen: list[dict[str, bytes]] = []
    with training_run._alone(folder, settings.data_dir), pytest.raises(AdapterError, match="by another process"):
        resume(folder.name, settings, display)
    finish = partial(resume_while_checked, during=lambda: resume(folder.name, settings, display))
    monkeypatch.setattr(training_run, "check_unchanged", finish)
    with pytest.raises(AdapterError, match="was finished meanwhile by another process; nothing was touched"):
        resume(folder.name, settings, display)
    assert files() == seen[0]
    assert learned(folder) == list(range(1, 11))
    assert read_adapter(folder)["status"] == "finished"
