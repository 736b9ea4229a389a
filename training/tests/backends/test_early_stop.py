"""Early stop: the run ends when the held-out loss rises, with the best weights, resumed or not."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from persona_training.backends.backend import Job
from persona_training.backends.checkpoints import latest_checkpoint
from persona_training.backends.early_stop import Best
from persona_training.backends.hf import TransformersBackend
from persona_training.hashing import sha256_file
from safetensors.torch import load_file

from .random_world import Recorded

# Random conversations cannot be foretold, so with this rate the held-out loss falls once or twice and then only rises.
OVERFITTING = {"max_steps": 20, "eval_every": 2, "save_every": 2, "learning_rate": 0.05, "patience": 2}


@given(st.lists(st.floats(allow_nan=True), min_size=1, max_size=12), st.integers(1, 4))
def test_the_best_is_the_first_lowest_and_patience_counts_what_came_after(losses: list[float], patience: int) -> None:
    model = torch.nn.Linear(1, 1)
    best = Best(patience)
    given_so_far: list[float] = []
    for step, loss in enumerate(losses):
        torch.nn.init.constant_(model.weight, step)
        best.offer(step, loss, model)
        given_so_far.append(loss)
        if best.exhausted:
            break
    finite = [loss for loss in given_so_far if not math.isnan(loss) and loss < math.inf]
    if not finite:
        assert best.step is None
        return
    assert best.loss == min(finite)
    assert best.step == given_so_far.index(best.loss)
    assert best.worse == len(given_so_far) - 1 - best.step
    best.restore(model)
    assert model.weight.item() == best.step


def test_without_patience_nothing_is_kept() -> None:
    best = Best(0)
    best.offer(1, 1.0, torch.nn.Linear(1, 1))
    assert not best.exhausted
    assert (best.step, best.weights) == (None, {})


@pytest.mark.training
def test_a_run_ends_early_with_the_weights_that_had_the_lowest_held_out_loss(job_with: Callable[..., Job]) -> None:
    job = job_with(steps=OVERFITTING)
    monitor = Recorded()
    outcome = TransformersBackend().train(job, monitor)
    assert not outcome.interrupted
    best = monitor.held_out.index(min(monitor.held_out))
    assert outcome.best_step == 2 * (best + 1)
    assert outcome.best_loss == min(monitor.held_out)
    assert outcome.steps == outcome.best_step + 4 < 20
    short = job_with("short", steps={**OVERFITTING, "patience": 0, "eval_every": 0})
    stopped = TransformersBackend().train(short, Recorded(stop_after=outcome.best_step))
    at_the_best = load_file(short.out_dir / "checkpoints" / f"checkpoint-{stopped.steps}" / "adapter_model.safetensors")
    kept = load_file(job.out_dir / "adapter_model.safetensors")
    assert all(torch.equal(weight, kept[name]) for name, weight in at_the_best.items())


@pytest.mark.training
@pytest.mark.parametrize("stop_after", [3, 5, 8])
def test_a_resumed_run_ends_at_the_same_step_with_the_same_weights(
    stop_after: int, job_with: Callable[..., Job]
) -> None:
    """Stopped before the best step, after it, and killed when patience was just at its end."""
    whole = job_with("whole", steps=OVERFITTING, dropout=0.1)
    expected = TransformersBackend().train(whole, Recorded())
    job = job_with("parts", steps=OVERFITTING, dropout=0.1)
    if stop_after < expected.steps:
        assert TransformersBackend().train(job, Recorded(stop_after=stop_after)).interrupted
    else:
        TransformersBackend().train(job, Recorded())
        (job.out_dir / "adapter_model.safetensors").unlink()  # as if killed before it was written
    resumed = job_with("parts", latest_checkpoint(job.out_dir), steps=OVERFITTING, dropout=0.1)
    assert TransformersBackend().train(resumed, Recorded()) == expected
    assert _hash(job.out_dir) == _hash(whole.out_dir)
    shutil.rmtree(job.out_dir)


def _hash(folder: Path) -> str:
    return sha256_file(folder / "adapter_model.safetensors")
