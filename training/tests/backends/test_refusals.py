"""What backends refuse: by name, with the remedy, before anything is loaded."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from persona_training.backends import choose_backend
from persona_training.backends.backend import Job
from persona_training.backends.hf import TransformersBackend
from persona_training.errors import RecipeError
from persona_training.hardware import Hardware, choose_hardware
from persona_training.processes import Process, any_of, shared, this_process


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
