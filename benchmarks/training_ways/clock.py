"""Seconds and tokens of the steps that count, and the most memory the process held."""

import resource
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass
class Clock:
    """Told after every step; the first `warmup` steps (compilation, autotuning, allocation) do not count."""

    device: str
    warmup: int
    times: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def step(self, tokens: int, loss: float) -> None:
        """A step is done: tokens so far (padding not counted), and its loss."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())
        self.tokens.append(tokens)
        self.losses.append(loss)

    def measured(self) -> dict[str, Any]:
        """What the timed steps came to."""
        first = self.warmup - 1
        seconds = self.times[-1] - self.times[first]
        tokens = self.tokens[-1] - self.tokens[first]
        return {
            "tokens_per_second": round(tokens / seconds, 1),
            "seconds_per_step": round(seconds / (len(self.times) - self.warmup), 5),
            "tokens": tokens,
            "peak_memory_gib": round(self._peak() / 2**30, 3),
            "first_loss": round(self.losses[0], 4),
            "last_loss": round(self.losses[-1], 4),
        }

    def _peak(self) -> int:
        if self.device == "cuda":
            return torch.cuda.max_memory_allocated()
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
