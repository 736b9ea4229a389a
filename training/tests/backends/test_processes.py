"""One run over two processes: the weights of one process, written by the first alone."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from persona_training.backends.backend import Job
from persona_training.backends.hf import TransformersBackend
from persona_training.hashing import sha256_file
from persona_training.processes import Process, any_of, shared, this_process
from safetensors.torch import load_file

from .random_world import Recorded

# Loads torch once and forks two processes with the variables that `accelerate launch` sets; each job in turn.
RUNS = """
import json, os, pickle, signal, sys
import torch
from persona_training.backends.checkpoints import latest_checkpoint
from persona_training.backends.following import follow
from persona_training.backends.hf import TransformersBackend
from persona_training.config import Recipe
class Told:
    def __init__(self, stop_after): self.losses, self.stop_after = [], stop_after
    def stage(self, name): pass
    def step(self, step): self.losses.append(step.loss)
    def should_stop(self): return self.stop_after is not None and len(self.losses) + 1 >= self.stop_after
torch.set_num_threads(1)
def run(job, rank, port, stop_after):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    os.environ["ACCELERATE_USE_CPU"] = "true"
    if rank:
        follow()
    else:
        told = Told(stop_after)
        outcome = TransformersBackend().train(job, told)
        print(json.dumps([told.losses, outcome.tokens, outcome.best_step, outcome.interrupted]), flush=True)
import dataclasses, socket
for job, stop_after in pickle.load(open(sys.argv[1], "rb")):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    children = []
    job = dataclasses.replace(job, checkpoint=latest_checkpoint(job.out_dir))
    for rank in (0, 1):
        if not (child := os.fork()):
            run(job, rank, port, stop_after)
            os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.training
def test_two_processes_learn_what_one_learns(job_with: Callable[..., Job]) -> None:
    """Padded, packed with fewer rows than processes, and stopped and resumed: to the rounding of another sum."""
    early = {"eval_every": 2, "patience": 2, "gradient_accumulation": 2}
    jobs = [
        job_with("padded", steps=early),
        job_with("packed", packing=True, steps={"batch_size": 1, "gradient_accumulation": 2}),
        job_with("stopped", steps=early),
        job_with("stopped", steps=early),
    ]
    pickled = jobs[0].out_dir.with_name("jobs.pickle")
    pickled.write_bytes(pickle.dumps(list(zip(jobs, (None, None, 3, None), strict=True))))
    done = subprocess.run(
        [sys.executable, "-c", RUNS, str(pickled)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = [json.loads(line) for line in done.stdout.splitlines()]
    for job, (losses, tokens, best, _) in zip(jobs[:2], told[:2], strict=True):
        alone = replace(job, out_dir=job.out_dir.with_name(f"{job.out_dir.name}-alone"))
        monitor = Recorded()
        outcome = TransformersBackend().train(alone, monitor)
        assert (tokens, best) == (outcome.tokens, outcome.best_step)
        assert [loss for loss in losses if loss] == pytest.approx(monitor.losses, abs=1e-5)
        mine, theirs = (load_file(one.out_dir / "adapter_model.safetensors") for one in (alone, job))
        assert all(torch.allclose(weight, theirs[name], atol=1e-4) for name, weight in mine.items())
    assert told[2][3] is True
    assert told[3][3] is False
    whole, resumed = (sha256_file(job.out_dir / "adapter_model.safetensors") for job in (jobs[0], jobs[3]))
    assert whole == resumed


def test_a_process_alone_is_the_first_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    alone = this_process()
    assert alone == Process(0, 1)
    assert shared("job", alone) == "job"
    assert any_of(True, alone)
    assert not any_of(False, alone)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert not this_process().first
