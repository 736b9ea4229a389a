"""Wakes the queue for many new jobs at once."""

import asyncio

from pgqueuer.adapters.drivers.asyncpg import AsyncpgPoolDriver
from pgqueuer.models import AnyEvent, TableChangedEvent
from pgqueuer.ports.driver import NotifyCallback

# After news of the queue the next wait this long: who stores exchanges one by one has them embedded together. Each look at
# the queue takes four statements; 50 exchanges a second meant 100 looks, more work than embedding them.
PAUSE_SECONDS = 0.1


class PacedDriver(AsyncpgPoolDriver):
    """Tells of a changed queue at once, and then for `PAUSE_SECONDS` no more; news that came meanwhile is told then."""

    async def add_listener(self, channel: str, callback: NotifyCallback) -> None:
        """Listen on `channel`; whatever is no news of the queue's table goes through at once."""
        await super().add_listener(channel, _Paced(callback))


class _Paced:
    """One listener's news."""

    def __init__(self, callback: NotifyCallback) -> None:
        self._callback = callback
        self._pausing = False
        self._held: str | bytes | bytearray | None = None

    def __call__(self, payload: str | bytes | bytearray) -> None:
        if not isinstance(AnyEvent.model_validate_json(payload).root, TableChangedEvent):
            self._callback(payload)
        elif self._pausing:
            self._held = payload  # one look at the queue finds whatever is new
        else:
            self._tell(payload)

    def _tell(self, payload: str | bytes | bytearray) -> None:
        self._pausing = True
        asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._end_pause)
        self._callback(payload)

    def _end_pause(self) -> None:
        self._pausing = False
        if (held := self._held) is not None:
            self._held = None
            self._tell(held)
