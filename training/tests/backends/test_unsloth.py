"""The Unsloth backend through the real library on the CPU, in one process of its own: importing it changes transformers."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from persona_training.backends import choose_backend
from persona_training.backends.backend import Job
from persona_training.backends.hf import TransformersBackend
from persona_training.errors import RecipeError
from persona_training.hardware import Hardware, choose_hardware
from persona_training.hashing import sha256_file
from safetensors.torch import load_file

from .random_world import Recorded

# Trains pickled jobs one after the other, stops and resumes the last, and writes down what it learned and whom it called.
RUN = """
import dataclasses, json, pickle, socket, sys
called = []
def refused(self, address):
    called.append(str(address))
    raise ConnectionRefusedError("no network in this test")
socket.socket.connect = refused
from persona_training.backends import choose_backend
from persona_training.backends.checkpoints import latest_checkpoint
backend = choose_backend("unsloth")
class Told:
    def __init__(self, stop_after=None): self.steps, self.stop_after = [], stop_after
    def stage(self, name): pass
    def step(self, step): self.steps.append(dataclasses.asdict(step))
    def should_stop(self): return self.stop_after is not None and len(self.steps) + 1 >= self.stop_after
jobs, answer = sys.argv[1:]
learned = []
for job in pickle.load(open(jobs, "rb")):
    told = Told()
    backend.train(job, told)
    learned.append(told.steps)
parts = dataclasses.replace(job, out_dir=job.out_dir.with_name("parts"))
backend.train(parts, Told(stop_after=3))
backend.train(dataclasses.replace(parts, checkpoint=latest_checkpoint(parts.out_dir)), Told())
json.dump({"learned": learned, "called": called, "version": backend.library.__version__}, open(answer, "w"))
"""


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the layer that the others stand on is trained."""
    return tmp_path_factory.mktemp("layer") / "below"


@pytest.mark.training
@pytest.mark.skipif(importlib.util.find_spec("unsloth") is None, reason="Unsloth is an optional library")
def test_unsloth_learns_what_the_plain_backend_learns(
    job_with: Callable[..., Job], layer: Path, tmp_path: Path
) -> None:
    """Losses to 1e-5: the optimiser's fused kernel rounds differently. Quiet, offline, resumable to the same bits."""
    below = replace(job_with(), out_dir=layer)
    TransformersBackend().train(below, Recorded())
    jobs = [
        job_with("plain", dropout=0.1, backend="unsloth", steps={"eval_every": 3}),
        job_with("recomputing", backend="unsloth", steps={"gradient_checkpointing": True, "gradient_accumulation": 2}),
        replace(job_with("packed", backend="unsloth", packing=True), parents=(layer,)),
    ]
    told = train_with_unsloth(jobs, tmp_path)
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


def train_with_unsloth(jobs: list[Job], tmp_path: Path) -> dict[str, Any]:
    pickled, answer, here = tmp_path / "jobs.pickle", tmp_path / "answer.json", tmp_path / "here"
    pickled.write_bytes(pickle.dumps(jobs))
    here.mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", RUN, str(pickled), str(answer)],
        cwd=here,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (done.stdout, done.stderr) == ("", "")
    assert list(here.iterdir()) == []
    read: dict[str, Any] = json.loads(answer.read_text("utf-8"))
    return read


def test_without_the_library_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(RecipeError, match=r"pip install --no-deps -r training/requirements-unsloth\.txt"):
        choose_backend("unsloth")


def test_four_bits_need_a_gpu_and_bitsandbytes(job_with: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_with(load_in_4bit=True)
    with pytest.raises(RecipeError, match="needs a CUDA GPU"):
        TransformersBackend().check(job.recipe, choose_hardware("cpu"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    gpu = Hardware(torch.device("cuda"), torch.bfloat16, "as if there were one")
    with pytest.raises(RecipeError, match="pip install bitsandbytes"):
        TransformersBackend().check(job.recipe, gpu)


def test_what_unsloth_is_not_used_for_is_refused_by_name(
    job_with: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    from persona_training.backends import unsloth

    monkeypatch.setattr(unsloth, "_imported", lambda: None)
    backend, job = unsloth.UnslothBackend(), job_with()
    with pytest.raises(RecipeError, match="dpo is learned with backend: hf"):
        backend.check(replace(job.recipe, layer=3, objective="dpo"), job.hardware)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RecipeError, match="Several processes"):
        backend.check(job.recipe, job.hardware)
