"""Server-sent events of one run: whoever reconnects says which byte of metrics.jsonl came last, and misses nothing."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator

from persona_dashboard.metrics_tail import MetricsTail
from persona_dashboard.run_store import Run

POLL_SECONDS = 0.5
# A comment this often lets a closed browser be noticed, and is well below the idle limits of common proxies (60 s).
KEEP_ALIVE_SECONDS = 10.0
# Then the browser reconnects by itself where it stood; no stream holds a thread for ever.
LONGEST_STREAM_SECONDS = 600.0
# Of the server's threads (see cli.py), so that pages always find a free one.
MOST_STREAMS = 8


class Streams:
    """Counts open streams and ends them all when the dashboard stops."""

    def __init__(self, most: int = MOST_STREAMS) -> None:
        self.most = most
        self._free = threading.BoundedSemaphore(most)
        self._open = 0
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    @property
    def open(self) -> int:
        """Streams in progress."""
        return self._open

    def enter(self) -> bool:
        """Take a place; False when all are taken."""
        if not self._free.acquire(blocking=False):
            return False
        with self._lock:
            self._open += 1
        return True

    def leave(self) -> None:
        """Give a place back."""
        with self._lock:
            self._open -= 1
        self._free.release()

    def stop(self) -> None:
        """End every stream at its next look."""
        self._stopping.set()

    def pause(self, seconds: float) -> bool:
        """Wait; True when the dashboard is stopping."""
        return self._stopping.wait(seconds)


def event(name: str, payload: str, identifier: int) -> str:
    """One server-sent event; the payload is JSON, which never breaks a line."""
    return f"id: {identifier}\nevent: {name}\ndata: {payload}\n\n"


def follow(
    read_run: Callable[[], Run],
    tail: MetricsTail,
    told: int,
    draw: Callable[[Run, MetricsTail], str],
    streams: Streams,
    gone: Callable[[], bool] = lambda: False,
) -> Iterator[str]:
    """Tell what is new until the run ends: `metrics` (the new points), `view` (the drawn part of the page), `end`.

    `told` is the byte offset the listener already has; what lies before it is read but not told again.
    """
    yield "retry: 1000\n\n"
    tail.read(until=told)
    seen: tuple[object, ...] = ()
    started = spoke = time.monotonic()
    while not gone():
        fresh = tail.read()
        if fresh:
            yield event("metrics", f"[{','.join(point.model_dump_json() for point in fresh)}]", tail.offset)
        run = read_run()
        now = (run.status, run.heartbeat and (run.heartbeat.step, run.heartbeat.stage, run.heartbeat.message))
        if fresh or now != seen:
            seen, spoke = now, time.monotonic()
            yield event("view", json.dumps({"status": run.status, "html": draw(run, tail)}), tail.offset)
        if run.ended:
            yield event("end", json.dumps({"status": run.status}), tail.offset)
            return
        if time.monotonic() - spoke > KEEP_ALIVE_SECONDS:
            spoke = time.monotonic()
            yield ": still here\n\n"
        if time.monotonic() - started > LONGEST_STREAM_SECONDS or streams.pause(POLL_SECONDS):
            return
