"""A run's turn on its device, told to whoever watches while it waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from persona_training.device_queue import Device, Holder
from persona_training.display import Display
from persona_training.run_folder import RunFolder


@dataclass
class Turn:
    """Waits for the device in the run's name: `run.json` says `queued` and whom for, the display says it once a holder."""

    run: RunFolder
    display: Display
    device: Device
    should_stop: Callable[[], bool]
    waited: bool = False
    _shown: Holder | None = None

    @contextmanager
    def taken(self, wait: bool) -> Iterator[None]:
        """Hold the device inside the block.

        Raises:
            DeviceInUseError, StoppedWaiting, StorageError: see `Device.taken`.
        """
        began = time.monotonic()
        with self.device.taken(self.run.adapter_id, self._waiting if wait else None, self.should_stop):
            if self.waited:
                self.run.begin()
                self.display.fact("turn", f"{self.device.name} is free, after {time.monotonic() - began:.0f} s")
            yield

    def _waiting(self, holder: Holder) -> None:
        self.waited = True
        if not holder.pid:
            return  # it took the device this moment; the next look knows its name
        message = holder.sentence(self.device.name)
        self.run.wait(message, self.device.name, holder.adapter_id, holder.since)
        if holder != self._shown:
            self._shown = holder
            self.display.fact(
                "queued", f"{message}. Ctrl-C leaves the queue; --resume {self.run.adapter_id} comes back"
            )
