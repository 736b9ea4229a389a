"""One run over several processes (`accelerate launch`): who is first, and how all agree.

Only the first process writes files and shows anything. A process started alone is the first of one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


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


def connect(on_cpu: bool) -> Process:
    """Join the other processes; call once the device is known, before `agreed`. Alone, nothing happens."""
    process = this_process()
    if process.count > 1:
        from accelerate import PartialState

        PartialState(cpu=on_cpu)
    return process


def agreed(decide: Callable[[], T], process: Process) -> T:
    """What the first process decides, on all of them. The value must be picklable."""
    if process.count == 1:
        return decide()
    from torch import distributed

    box: list[T | None] = [decide() if process.first else None]
    distributed.broadcast_object_list(box, src=0)
    value: T = box[0]  # type: ignore[assignment]
    return value


def any_of(mine: bool, process: Process) -> bool:
    """True on all processes when it is true on one."""
    if process.count == 1:
        return mine
    import torch
    from accelerate import PartialState

    flag = torch.tensor([float(mine)], device=PartialState().device)
    torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
    return bool(flag.item())


@contextmanager
def first_goes_first(process: Process) -> Iterator[None]:
    """The first process runs the block before the others, which then find on disk what it made."""
    if process.count > 1 and not process.first:
        _wait()
    yield
    if process.count > 1 and process.first:
        _wait()


def _wait() -> None:
    from torch import distributed

    distributed.barrier()
