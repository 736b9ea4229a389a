"""A run's turn on its devices, told to whoever watches while it waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from persona_training.device_queue import Device, Holder
from persona_training.display import Display
from persona_training.run_folder import RunFolder


@dataclass
class Turn:
    """Waits for the devices in the run's name: `run.json` says `queued` and whom for, the display says it once a holder."""

    run: RunFolder
    display: Display
    devices: Sequence[Device]
    should_stop: Callable[[], bool]
    waited: bool = False
    _shown: Holder | None = None

    @contextmanager
    def taken(self, wait: bool) -> Iterator[None]:
        """Hold the devices inside the block.

        Raises:
            DeviceInUseError, StoppedWaiting, StorageError: see `Device.taken`.
        """
        began = time.monotonic()
        with ExitStack() as held:
            for device in self.devices:
                waiting = partial(self._waiting, device) if wait else None
                held.enter_context(device.taken(self.run.adapter_id, waiting, self.should_stop))
            if self.waited:
                self.run.begin()
                names = ", ".join(device.name for device in self.devices)
                self.display.fact("turn", f"{names} free, after {time.monotonic() - began:.0f} s")
            yield

    def _waiting(self, device: Device, holder: Holder) -> None:
        self.waited = True
        if not holder.pid:
            return  # it took the device this moment; the next look knows its name
        message = holder.sentence(device.name)
        self.run.wait(message, device.name, holder.adapter_id, holder.since)
        if holder != self._shown:
            self._shown = holder
            self.display.fact(
                "queued", f"{message}. Ctrl-C leaves the queue; --resume {self.run.adapter_id} comes back"
            )
