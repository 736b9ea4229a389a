"""One run per device: a run that finds its GPU (or the CPU) taken waits its turn, in the order of asking.

Locks are the operating system's (`filelock`), so a holder that died holds nothing. Beside a lock lies who has it, for
people; beside the queue's tickets, each locked by the run that waits with it, lies nothing: a ticket without its run is
swept away.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from persona_training.adapters import write_json
from persona_training.cards import free_gpu_bytes
from persona_training.errors import PersonaTrainingError, StorageError
from persona_training.run_folder import now

if TYPE_CHECKING:
    import torch

# Between two looks; a run lasts minutes to hours, and Ctrl-C while waiting is answered within it.
LOOK_SECONDS = 1.0


class DeviceInUseError(PersonaTrainingError):
    """Another run has the device, and waiting was not wanted. Exit code 3."""

    exit_code = 3

    def __init__(self, holder: Holder, device: Device) -> None:
        told = f"{device.name} is in use by {holder.adapter_id} (pid {holder.pid}) since {holder.since}"
        super().__init__(f"{told}, and --no-wait was given. Try again later, or wait without it.")


class StoppedWaiting(Exception):
    """The run was asked to stop before its turn came."""


@dataclass(frozen=True)
class Holder:
    """Who has a device."""

    adapter_id: str
    pid: int
    since: str

    def sentence(self, device: str) -> str:
        """For people: "waiting for personality-… on GPU 0 (pid 12), which began at …"."""
        return f"waiting for {self.adapter_id} on {device} (pid {self.pid}), which has it since {self.since}"


@dataclass(frozen=True)
class Device:
    """One device of this machine: its name for people and its lock.

    Attributes:
        name: "CPU" or "GPU 0 (NVIDIA …)".
        key: names the lock's file; a GPU's is its UUID, because its number depends on CUDA_VISIBLE_DEVICES.
        folder: where the locks lie, shared by all runs that are to take turns.
    """

    name: str
    key: str
    folder: Path

    def holder(self) -> Holder | None:
        """Who has it now, or None."""
        lock = FileLock(self._lock_file)
        try:
            with self._guarded(), lock.acquire(blocking=False):
                return None
        except Timeout:
            return self._read_holder()

    @contextmanager
    def taken(
        self, adapter_id: str, waiting: Callable[[Holder], None] | None, should_stop: Callable[[], bool]
    ) -> Iterator[None]:
        """Hold the device inside the block, once it is this run's turn.

        Args:
            adapter_id: who asks.
            waiting: told at every look who has the device; None refuses to wait.
            should_stop: asked at every look.

        Raises:
            DeviceInUseError: another run has it, and `waiting` is None.
            StoppedWaiting: `should_stop` said so.
            StorageError: the locks' folder cannot be written.
        """
        lock = self._acquired(adapter_id, waiting, should_stop)
        try:
            write_json(self._holder_file, {"adapter_id": adapter_id, "pid": os.getpid(), "since": now()})
            yield
        finally:
            self._holder_file.unlink(missing_ok=True)
            lock.release()

    def _acquired(
        self, adapter_id: str, waiting: Callable[[Holder], None] | None, should_stop: Callable[[], bool]
    ) -> FileLock:
        lock = FileLock(self._lock_file)
        with self._guarded():
            ticket = self._ticket()
        try:
            while True:
                if not self._earlier(ticket):
                    try:
                        lock.acquire(blocking=False)
                        return lock
                    except Timeout:
                        pass
                holder = self._read_holder()
                if waiting is None:
                    raise DeviceInUseError(holder, self)
                waiting(holder)
                if should_stop():
                    raise StoppedWaiting
                time.sleep(LOOK_SECONDS)
        finally:
            ticket.release()
            Path(ticket.lock_file).unlink(missing_ok=True)

    def _ticket(self) -> FileLock:
        """A place in the queue: a file named after the moment of asking, locked as long as its run waits."""
        ticket = FileLock(self.folder / f"{self.key}.{time.time_ns():020d}-{os.getpid()}.ticket")
        ticket.acquire()
        return ticket

    def _earlier(self, mine: FileLock) -> bool:
        """Whether somebody alive asked before; tickets of the dead are swept away."""
        for path in sorted(self.folder.glob(f"{self.key}.*.ticket")):
            if path.name >= Path(mine.lock_file).name:
                return False
            other = FileLock(path)
            try:
                other.acquire(blocking=False)
            except Timeout:
                return True
            other.release()
            path.unlink(missing_ok=True)
        return False

    @property
    def _lock_file(self) -> Path:
        return self.folder / f"{self.key}.lock"

    @property
    def _holder_file(self) -> Path:
        return self.folder / f"{self.key}.json"

    def _read_holder(self) -> Holder:
        """Who has the lock; in the moment between taking it and saying so, nobody known."""
        try:
            return Holder(**json.loads(self._holder_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return Holder("another run", 0, "a moment ago")

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            yield
        except Timeout:
            raise
        except OSError as error:
            raise StorageError(
                f"Cannot write {self.folder}: {error.strerror}. Point CASIOPY_DATA elsewhere."
            ) from error


def find_devices(device: torch.device, data_dir: Path) -> list[Device]:
    """The devices a run is to take turns on: the CPU, which counts as one, or a GPU for each of its processes here.

    They come in the order of their keys, in which every run takes them, so that no two wait for each other.
    """
    folder = data_dir / "devices"
    if device.type == "cpu":
        return [Device("CPU", "cpu", folder)]
    import torch

    # accelerate launch and torchrun give each local process the GPU of its number.
    first = torch.cuda.current_device()
    indexes = range(first, min(first + int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()))
    found = [(index, torch.cuda.get_device_properties(index)) for index in indexes]
    return sorted(
        (Device(f"GPU {index} ({known.name})", f"gpu-{known.uuid}", folder) for index, known in found),
        key=lambda one: one.key,
    )


def holder_of(devices: Sequence[Device]) -> tuple[Holder, Device] | None:
    """Who has one of them, and which; None when all are free."""
    return next(((holder, device) for device in devices if (holder := device.holder()) is not None), None)


def memory_for_next_run(device: str, data_dir: Path) -> int | None:
    """Bytes the next run can have of the GPU: what is free, or all of it while another run has it; None without a GPU."""
    import torch

    free = free_gpu_bytes(device)
    if free is None or holder_of(find_devices(torch.device("cuda"), data_dir)) is None:
        return free
    return int(torch.cuda.mem_get_info()[1])
