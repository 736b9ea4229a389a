"""Runs in processes of their own: killed, short of disk, two at once, and through Unsloth.

Whatever interrupts a run, it goes on from its last whole checkpoint and ends in the same bits.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from persona_training.backends.backend import Job
from persona_training.backends.checkpoints import COMPLETE, latest_checkpoint
from persona_training.backends.hf import TransformersBackend
from persona_training.hashing import sha256_file
from safetensors.torch import load_file

from .random_world import Recorded

STEPS = {"max_steps": 16, "save_every": 4}


@pytest.fixture(scope="module")
def forks() -> Iterator[subprocess.Popen[str]]:
    """The process of `forked_runs.py`."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error::UserWarning", str(Path(__file__).with_name("forked_runs.py"))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def forked(
    forks: subprocess.Popen[str], kind: str, *given: object, folder: Path, number: int = 0
) -> tuple[int, list[str]]:
    """Carry out a request in a process of its own; its exit status and what it said. Held, it is sent the signal."""
    assert forks.stdin is not None
    assert forks.stdout is not None
    folder.mkdir(parents=True, exist_ok=True)
    request = folder / "request.pickle"
    request.write_bytes(pickle.dumps((kind, given)))
    forks.stdin.write(f"{request}\n")
    forks.stdin.flush()
    said: list[str] = []
    for line in forks.stdout:
        said.append(line.strip())
        word, _, value = said[-1].partition(" ")
        if word == "held":
            os.kill(int(value), number)
        if word == "ended":
            return int(value), said
    raise AssertionError("the process that forks died")


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
    ("number", "packing", "within", "kept"),
    [
        (signal.SIGKILL, True, True, 4),
        (signal.SIGKILL, False, False, 4),
        (signal.SIGTERM, True, True, 7),
        (signal.SIGINT, False, False, 7),
    ],
)
def test_a_signal_costs_no_bit(
    number: signal.Signals,
    packing: bool,
    within: bool,
    kept: int,
    job_with: Callable[..., Job],
    expected: dict[bool, str],
    forks: subprocess.Popen[str],
) -> None:
    """It comes after step 6, or within step 7: killed, a run has its last checkpoint; asked to stop, the step it was at."""
    job = job_with(steps=STEPS, dropout=0.1, packing=packing)
    status, _ = forked(forks, "alone", job, 0, 6, within, folder=job.out_dir, number=number)
    assert status == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    checkpoint = latest_checkpoint(job.out_dir)
    assert checkpoint is not None
    assert checkpoint.name == f"checkpoint-{kept}"
    resumed = job_with(checkpoint=checkpoint, steps=STEPS, dropout=0.1, packing=packing)
    TransformersBackend().train(resumed, Recorded())
    assert sha256_file(job.out_dir / "adapter_model.safetensors") == uninterrupted(job_with, expected, packing)


@pytest.mark.training
@pytest.mark.parametrize("room", [20_000, 60_000])
def test_a_full_disk_says_so_and_leaves_no_half_checkpoint(
    room: int, job_with: Callable[..., Job], expected: dict[bool, str], forks: subprocess.Popen[str], tmp_path: Path
) -> None:
    """Files may not grow beyond `room` bytes: first the adapter does not fit, then the optimiser's state."""
    job = job_with(steps={**STEPS, "save_every": 10}, dropout=0.1)
    TransformersBackend().train(job, Recorded(stop_after=7))
    sizes = {path.name: path.stat().st_size for path in latest_checkpoint(job.out_dir).iterdir()}  # type: ignore[union-attr]
    assert (sizes["adapter_model.safetensors"] < room) == (room == 60_000)
    assert sizes["optimizer.pt"] > room
    resumed = job_with(checkpoint=latest_checkpoint(job.out_dir), steps={**STEPS, "save_every": 10}, dropout=0.1)
    status, said = forked(forks, "alone", resumed, room, folder=tmp_path / "request")
    assert status == 0
    assert said[-3] == "step 10"
    assert re.match("error .* Free some space, then continue with --resume", said[-2])
    checkpoint = latest_checkpoint(job.out_dir)
    assert [path.name for path in (job.out_dir / "checkpoints").iterdir()] == ["checkpoint-7"]
    assert json.loads((checkpoint / COMPLETE).read_text("utf-8")) == {"step": 7}  # type: ignore[operator]
    TransformersBackend().train(job_with(checkpoint=checkpoint, steps=STEPS, dropout=0.1), Recorded())
    assert sha256_file(job.out_dir / "adapter_model.safetensors") == uninterrupted(job_with, expected, False)


@pytest.mark.training
def test_two_processes_learn_what_one_learns(
    job_with: Callable[..., Job], forks: subprocess.Popen[str], tmp_path: Path
) -> None:
    """Padded, packed with fewer rows than processes, and stopped and resumed: to the rounding of another sum."""
    early = {"eval_every": 2, "patience": 2, "gradient_accumulation": 2}
    jobs = [
        job_with("padded", steps=early),
        job_with("packed", packing=True, steps={"batch_size": 1, "gradient_accumulation": 2}),
        job_with("stopped", steps=early),
        job_with("stopped", steps=early),
    ]
    told = []
    for job, stop_after in zip(jobs, (None, None, 3, None), strict=True):
        status, said = forked(forks, "together", job, stop_after, folder=tmp_path / "request")
        assert status == 0, said
        told += [json.loads(line.removeprefix("told ")) for line in said if line.startswith("told ")]
    for job, (losses, tokens, best, _) in zip(jobs[:2], told[:2], strict=True):
        alone = replace(job, out_dir=job.out_dir.with_name(f"{job.out_dir.name}-alone"))
        monitor = Recorded()
        outcome = TransformersBackend().train(alone, monitor)
        assert (tokens, best) == (outcome.tokens, outcome.best_step)
        assert losses == pytest.approx(monitor.losses, abs=1e-5)
        mine, theirs = (load_file(one.out_dir / "adapter_model.safetensors") for one in (alone, job))
        assert all(torch.allclose(weight, theirs[name], atol=1e-4) for name, weight in mine.items())
    assert told[2][3] is True
    assert told[3][3] is False
    whole, resumed = (sha256_file(job.out_dir / "adapter_model.safetensors") for job in (jobs[0], jobs[3]))
    assert whole == resumed


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the layer that the others stand on is trained."""
    return tmp_path_factory.mktemp("layer") / "below"


@pytest.mark.training
@pytest.mark.skipif(importlib.util.find_spec("unsloth") is None, reason="Unsloth is an optional library")
def test_unsloth_learns_what_the_plain_backend_learns(
    job_with: Callable[..., Job], layer: Path, forks: subprocess.Popen[str], tmp_path: Path
) -> None:
    """Losses to 1e-5: the optimiser's fused kernel rounds differently. Quiet, offline, resumable to the same bits."""
    below = replace(job_with(), out_dir=layer)
    TransformersBackend().train(below, Recorded())
    jobs = [
        job_with("plain", dropout=0.1, backend="unsloth", steps={"eval_every": 3}),
        job_with("recomputing", backend="unsloth", steps={"gradient_checkpointing": True, "gradient_accumulation": 2}),
        replace(job_with("packed", backend="unsloth", packing=True), parents=(layer,)),
    ]
    (tmp_path / "here").mkdir()
    status, _ = forked(forks, "unsloth", jobs, tmp_path / "here", folder=tmp_path / "request")
    said = (tmp_path / "said.txt").read_text("utf-8")
    assert (status, said) == (0, "")
    told: dict[str, Any] = json.loads((tmp_path / "answer.json").read_text("utf-8"))
    assert list((tmp_path / "here").iterdir()) == []
    assert told["version"] == "2026.10.9"
    assert told["called"] == []
    for job, steps in zip(jobs, told["learned"], strict=True):
        ours = replace(job, out_dir=job.out_dir.with_name(f"{job.out_dir.name}-hf"))
        monitor = Recorded()
        TransformersBackend().train(ours, monitor)
        assert [step["tokens"] for step in steps] == [step.tokens for step in monitor.steps]
        assert [s["loss"] for s in steps if s["loss"]] == pytest.approx(monitor.losses, abs=1e-5)
        assert [s["eval_loss"] for s in steps if s["eval_loss"]] == pytest.approx(monitor.held_out, abs=1e-5)
        theirs, mine = (load_file(one.out_dir / "adapter_model.safetensors") for one in (job, ours))
        assert theirs.keys() == mine.keys()
        assert all(torch.allclose(weight, mine[name], atol=1e-3) for name, weight in theirs.items())
    whole, parts = (sha256_file(tmp_path / name / "adapter_model.safetensors") for name in ("packed", "parts"))
    assert whole == parts
