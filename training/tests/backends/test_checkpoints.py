"""Checkpoints: whatever interrupts a run, it goes on from the last whole one and ends in the same bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from persona_training.backends.backend import Job
from persona_training.backends.checkpoints import COMPLETE, drop_incomplete, latest_checkpoint, seal
from persona_training.backends.hf import TransformersBackend
from persona_training.hashing import sha256_file

from .random_world import Recorded

STEPS = {"max_steps": 10, "save_every": 4}


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


@pytest.mark.training
def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(
    job_with: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file is there but the seal: the last moment at which a kill can fall."""

    def killed(folder: Path, step: int) -> None:
        if step == 8:
            raise KeyboardInterrupt
        seal(folder, step)

    whole, job = (job_with(name, steps=STEPS, dropout=0.1, packing=True) for name in ("whole", "killed"))
    TransformersBackend().train(whole, Recorded())
    with monkeypatch.context() as patched:
        patched.setattr("persona_training.backends.watch.seal", killed)
        with pytest.raises(KeyboardInterrupt):
            TransformersBackend().train(job, Recorded())
    assert (job.out_dir / "checkpoints" / "checkpoint-8").is_dir()
    checkpoint = latest_checkpoint(job.out_dir)
    assert checkpoint is not None
    assert checkpoint.name == "checkpoint-4"
    TransformersBackend().train(replace(job, checkpoint=checkpoint), Recorded())
    hashes = {sha256_file(run.out_dir / "adapter_model.safetensors") for run in (whole, job)}
    assert len(hashes) == 1
