"""Checkpoints: whatever interrupts a run, it goes on from the last whole one and ends in the same bits."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from persona_training.backends.backend import Job
from persona_training.backends.checkpoints import COMPLETE, drop_incomplete, latest_checkpoint, seal
from persona_training.backends.hf import TransformersBackend
from persona_training.hashing import sha256_file

from .random_world import Recorded

# Loads torch once; for each line it forks a child that trains a pickled job and says every step, and tells how it ended.
RUNS = """
import os, pickle, resource, signal, sys
from persona_training.backends.hf import TransformersBackend
from persona_training.errors import StorageError
class Said:
    asked = False
    def stage(self, name): pass
    def step(self, step): print("step", step.step, flush=True)
    def should_stop(self): return self.asked
def train(job, room):
    said = Said()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: setattr(said, "asked", True))
    if room:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    try:
        TransformersBackend().train(pickle.load(open(job, "rb")), said)
    except StorageError as error:
        print("error", error.message, flush=True)
for line in sys.stdin:
    job, room = line.split()
    if not (child := os.fork()):
        train(job, int(room))
        os._exit(0)
    print("child", child, flush=True)
    print("ended", os.waitpid(child, 0)[1], flush=True)
"""
STEPS = {"max_steps": 16, "save_every": 4}


def folder_with(out_dir: Path, numbers: dict[int, bool]) -> None:
    for number, whole in numbers.items():
        folder = out_dir / "checkpoints" / f"checkpoint-{number}"
        folder.mkdir(parents=True)
        (folder / "weights").write_bytes(b"x")
        if whole:
            seal(folder, number)


def test_only_whole_checkpoints_count_and_two_are_kept(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None
    folder_with(tmp_path, {5: True, 10: True, 12: False, 100: True, 110: False})
    newest = latest_checkpoint(tmp_path)
    assert newest is not None
    assert newest.name == "checkpoint-100"
    # A half-written one beside them drives no whole one out.
    assert {path.parent.name for path in tmp_path.glob(f"checkpoints/*/{COMPLETE}")} == {
        "checkpoint-10",
        "checkpoint-100",
    }
    drop_incomplete(tmp_path)
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"checkpoint-10", "checkpoint-100"}


@pytest.fixture(scope="module")
def runs() -> Iterator[subprocess.Popen[str]]:
    """The process that forks one for every job."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", RUNS]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def train_elsewhere(
    runs: subprocess.Popen[str], job: Job, room: int = 0, number: signal.Signals | None = None, step: int = 0
) -> tuple[int, list[str]]:
    """Train in a process of its own; its exit status and what it said. `number` is sent once it said `step`."""
    assert runs.stdin is not None
    assert runs.stdout is not None
    job.out_dir.mkdir(parents=True, exist_ok=True)
    pickled = job.out_dir / "job.pickle"
    pickled.write_bytes(pickle.dumps(job))
    runs.stdin.write(f"{pickled} {room}\n")
    runs.stdin.flush()
    child = int(runs.stdout.readline().split()[1])
    said: list[str] = []
    for line in runs.stdout:
        said.append(line.strip())
        if said[-1] == f"step {step}" and number is not None:
            time.sleep(0.01 * number)  # so that signals fall on various moments between steps
            os.kill(child, number)
        if line.startswith("ended"):
            return int(line.split()[1]), said
    raise AssertionError("the runs' process died")


@pytest.fixture(scope="module")
def expected() -> dict[bool, str]:
    """Weights of uninterrupted runs, packed and not, filled by the first test that needs them."""
    return {}


def uninterrupted(job_with: Callable[..., Job], expected: dict[bool, str], packing: bool) -> str:
    if packing not in expected:
        job = job_with("whole", steps=STEPS, dropout=0.1, packing=packing)
        TransformersBackend().train(job, Recorded())
        expected[packing] = sha256_file(job.out_dir / "adapter_model.safetensors")
    return expected[packing]


@pytest.mark.training
@pytest.mark.parametrize(
    ("number", "packing"),
    [(signal.SIGKILL, True), (signal.SIGKILL, False), (signal.SIGTERM, True), (signal.SIGINT, False)],
)
def test_a_signal_costs_no_bit(
    number: signal.Signals,
    packing: bool,
    job_with: Callable[..., Job],
    expected: dict[bool, str],
    runs: subprocess.Popen[str],
) -> None:
    job = job_with(steps=STEPS, dropout=0.1, packing=packing)
    status, _ = train_elsewhere(runs, job, number=number, step=6)
    assert status == (signal.SIGKILL if number == signal.SIGKILL else 0)
    checkpoint = latest_checkpoint(job.out_dir)
    assert checkpoint is not None
    resumed = job_with(checkpoint=checkpoint, steps=STEPS, dropout=0.1, packing=packing)
    TransformersBackend().train(resumed, Recorded())
    assert sha256_file(job.out_dir / "adapter_model.safetensors") == uninterrupted(job_with, expected, packing)


@pytest.mark.training
def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(
    job_with: Callable[..., Job], expected: dict[bool, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file is there but the seal: the last moment at which a kill can fall."""

    def killed(folder: Path, step: int) -> None:
        if step == 8:
            raise KeyboardInterrupt
        seal(folder, step)

    job = job_with(steps=STEPS, dropout=0.1, packing=True)
    with monkeypatch.context() as patched:
        patched.setattr("persona_training.backends.watch.seal", killed)
        with pytest.raises(KeyboardInterrupt):
            TransformersBackend().train(job, Recorded())
    assert (job.out_dir / "checkpoints" / "checkpoint-8").is_dir()
    checkpoint = latest_checkpoint(job.out_dir)
    assert checkpoint is not None
    assert checkpoint.name == "checkpoint-4"
    TransformersBackend().train(job_with(checkpoint=checkpoint, steps=STEPS, dropout=0.1, packing=True), Recorded())
    assert sha256_file(job.out_dir / "adapter_model.safetensors") == uninterrupted(job_with, expected, True)


@pytest.mark.training
@pytest.mark.parametrize("room", [20_000, 60_000])
def test_a_full_disk_says_so_and_leaves_no_half_checkpoint(
    room: int, job_with: Callable[..., Job], expected: dict[bool, str], runs: subprocess.Popen[str]
) -> None:
    """Files may not grow beyond `room` bytes: first the adapter does not fit, then the optimiser's state."""
    job = job_with(steps={**STEPS, "save_every": 10}, dropout=0.1)
    TransformersBackend().train(job, Recorded(stop_after=7))
    sizes = {path.name: path.stat().st_size for path in latest_checkpoint(job.out_dir).iterdir()}  # type: ignore[union-attr]
    assert (sizes["adapter_model.safetensors"] < room) == (room == 60_000)
    assert sizes["optimizer.pt"] > room
    resumed = job_with(checkpoint=latest_checkpoint(job.out_dir), steps={**STEPS, "save_every": 10}, dropout=0.1)
    status, said = train_elsewhere(runs, resumed, room)
    assert status == 0
    assert said[-3] == "step 10"
    assert re.match("error .* Free some space, then continue with --resume", said[-2])
    checkpoint = latest_checkpoint(job.out_dir)
    assert [path.name for path in (job.out_dir / "checkpoints").iterdir()] == ["checkpoint-7"]
    assert json.loads((checkpoint / COMPLETE).read_text("utf-8")) == {"step": 7}  # type: ignore[operator]
    TransformersBackend().train(job_with(checkpoint=checkpoint, steps=STEPS, dropout=0.1), Recorded())
    assert sha256_file(job.out_dir / "adapter_model.safetensors") == uninterrupted(job_with, expected, False)
