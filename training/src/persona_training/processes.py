"""One run over several processes (`accelerate launch`): the first prepares, writes and shows; the others compute.

A process started alone is the first of one. The others are given the whole job by the first, so they read no dataset, write
no file of the run and say nothing.
"""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")

# How long the others wait for the first one, which may be fetching a base model or waiting for its turn on the GPU.
PATIENCE = timedelta(days=2)


@dataclass(frozen=True)
class Process:
    """This process's number, from 0, and how many there are."""

    rank: int
    count: int

    @property
    def first(self) -> bool:
        """True for the process that writes."""
        return self.rank == 0


def this_process() -> Process:
    """From the variables that `accelerate launch` (and torchrun) set."""
    return Process(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


def connect() -> Process:
    """Join the other processes, on CPU and GPU alike; alone, or once joined, nothing happens."""
    process = this_process()
    if process.count > 1:
        import torch
        from torch import distributed

        if not distributed.is_initialized():
            cuda = torch.cuda.is_available()
            if cuda:
                torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
            distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE)
    return process


def shared(value: T | None, process: Process) -> T:
    """The first process's value, on all of them; the others give None. It must be picklable."""
    box = [value]
    if process.count > 1:
        from torch import distributed

        distributed.broadcast_object_list(box, src=0)
    given: T = box[0]  # type: ignore[assignment]
    return given


def any_of(mine: bool, process: Process) -> bool:
    """True on all processes when it is true on one."""
    if process.count == 1:
        return mine
    import torch
    from torch import distributed

    flag = torch.tensor([float(mine)])
    distributed.all_reduce(flag, distributed.ReduceOp.MAX)
    return bool(flag.item())


def leave(process: Process) -> None:
    """Part from the other processes at the end of a run, when nothing refers to its wrapped model any more."""
    if process.count > 1:
        from torch import distributed

        # A wrapped model refers to the group. Freed as the last one to do so, it would wait for the group's thread with
        # the interpreter locked, while that thread may be waiting for the interpreter: the process would never end. It lies
        # in a cycle with its Trainer.
        gc.collect()
        distributed.barrier()
        distributed.destroy_process_group()
