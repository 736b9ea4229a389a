"""A process that loads torch once and forks one for every run it is asked for: kills, several processes, Unsloth.

Each line on stdin names a pickled request, the arguments of one of the functions in `KINDS`. What the run says goes to
stdout, then `ended` with its exit status.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import os
import pickle
import resource
import signal
import socket
import sys
import time
import traceback
from pathlib import Path

import torch
from persona_training.backends.backend import Job, Step
from persona_training.backends.checkpoints import latest_checkpoint
from persona_training.backends.following import follow
from persona_training.backends.hf import TransformersBackend
from persona_training.backends.loop import Loop
from persona_training.errors import StorageError
from torch import distributed
from torch.nn.parallel import DistributedDataParallel


class Told:
    """A monitor that remembers and says every step, and asks to stop when told to; it holds the run after step `held`."""

    def __init__(self, stop_after: int | None = None, aloud: bool = False, held: int | None = None) -> None:
        self.steps: list[dict[str, object]] = []
        self.stop_after, self.aloud, self.held, self.asked = stop_after, aloud, held, False

    def stage(self, name: str) -> None:
        return

    def step(self, step: Step) -> None:
        self.steps.append(dataclasses.asdict(step))
        if self.aloud:
            say("step", step.step)
        if step.step == self.held:
            self.hold()

    def hold(self) -> None:
        """Say so and stand still until a signal comes, however fast this machine is."""
        say("held", os.getpid())
        while not self.asked:
            time.sleep(0.01)

    def should_stop(self) -> bool:
        return self.asked or (self.stop_after is not None and len(self.steps) + 1 >= self.stop_after)


def say(*words: object) -> None:
    print(*words, flush=True)


def alone(job: Job, room: int, held: int | None = None, within: bool = False) -> None:
    """Train until a signal asks to stop; files may not grow beyond `room` bytes where that is not 0.

    The run waits for its signal after step `held`, or, `within` the next one, between its gradients and its update.
    """
    told = Told(aloud=True, held=None if within else held)
    if within:
        _hold_within(held, told)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: setattr(told, "asked", True))
    if room:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    try:
        TransformersBackend().train(job, told)
    except StorageError as error:
        say("error", error.message)


def _hold_within(held: int | None, told: Told) -> None:
    take = Loop.training_step

    def take_and_hold(loop: Loop, *given: object) -> torch.Tensor:
        loss = take(loop, *given)  # type: ignore[arg-type]
        if loop.state.global_step == held:
            told.hold()
        return loss

    Loop.training_step = take_and_hold  # type: ignore[assignment,method-assign]


def together(job: Job, stop_after: int | None) -> None:
    """Train in two processes with the variables that `accelerate launch` sets; continue where there is a checkpoint."""
    port = str(_unused_port())
    children = []
    for rank in (0, 1):
        if not (child := os.fork()):
            os.environ.update(
                RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port
            )
            ended = 1
            try:
                _as_rank(rank, dataclasses.replace(job, checkpoint=latest_checkpoint(job.out_dir)), Told(stop_after))
                ended = 0
            finally:
                if ended:
                    traceback.print_exc()
                os._exit(ended)
        children.append(child)
    if any(os.waitpid(child, 0)[1] for child in children):
        raise RuntimeError("one of the two failed")


def _unused_port() -> int:
    """One below those the system gives away by itself, so that nobody else is given it before the two have met there."""
    for port in range(16_000 + os.getpid() % 4_000, 32_000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


def _as_rank(rank: int, job: Job, told: Told) -> None:
    destroy = distributed.destroy_process_group

    def destroy_alone() -> None:
        # A wrapped model that outlives the group may wait for it for ever (see `processes.leave`).
        assert not any(isinstance(one, DistributedDataParallel) for one in gc.get_objects())
        destroy()

    distributed.destroy_process_group = destroy_alone
    if rank:
        follow()
        return
    outcome = TransformersBackend().train(job, told)
    losses = [step["loss"] for step in told.steps if step["loss"] is not None]
    say("told", json.dumps([losses, outcome.tokens, outcome.best_step, outcome.interrupted]))


def unsloth(jobs: list[Job], folder: Path) -> None:
    """Train the jobs through Unsloth, stop and resume the last, with no network, and write down what it said and called."""
    called: list[str] = []

    def refused(_self: socket.socket, address: object) -> None:
        called.append(str(address))
        raise ConnectionRefusedError("no network in this test")

    socket.socket.connect = refused  # type: ignore[assignment,method-assign]
    os.chdir(folder)
    said = os.open(folder.with_name("said.txt"), os.O_CREAT | os.O_WRONLY)
    os.dup2(said, 1)
    os.dup2(said, 2)
    from persona_training.backends import choose_backend

    backend = choose_backend("unsloth")
    learned = []
    for job in jobs:
        told = Told()
        backend.train(job, told)
        learned.append(told.steps)
    parts = dataclasses.replace(jobs[-1], out_dir=jobs[-1].out_dir.with_name("parts"))
    backend.train(parts, Told(stop_after=3))
    backend.train(dataclasses.replace(parts, checkpoint=latest_checkpoint(parts.out_dir)), Told())
    version = vars(sys.modules["unsloth"])["__version__"]
    answer = {"learned": learned, "called": called, "version": version}
    folder.with_name("answer.json").write_text(json.dumps(answer), encoding="utf-8")


KINDS = {"alone": alone, "together": together, "unsloth": unsloth}

if __name__ == "__main__":
    torch.set_num_threads(1)
    gc.freeze()  # transformers collects garbage at the start of every run; what is loaded by now never is any
    for line in sys.stdin:
        kind, given = pickle.loads(Path(line.strip()).read_bytes())
        if not (child := os.fork()):
            status = 1
            try:
                KINDS[kind](*given)
                status = 0
            finally:
                if status:
                    traceback.print_exc()
                os._exit(status)
        say("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
