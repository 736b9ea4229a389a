"""Following metrics.jsonl while it grows, from any byte offset, without ever losing or repeating a point."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from persona_dashboard.adapter_shapes import Metric


@dataclass
class MetricsTail:
    """A reader with a memory of where it stands. The offset only ever rests after a complete line."""

    path: Path
    offset: int = 0
    points: list[Metric] = field(default_factory=list)
    damaged: int = 0
    """Lines that could not be read."""

    def read(self, until: int | None = None) -> list[Metric]:
        """Points added since the last call, or those before the byte `until`.

        A file that shrank is read again from its beginning.
        """
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, 2)
                if size < max(self.offset, until or 0):
                    self.offset, self.points, self.damaged = 0, [], 0
                    until = 0 if until else None
                file.seek(self.offset)
                grown = file.read() if until is None else file.read(max(until - self.offset, 0))
        except OSError:
            return []
        complete = grown[: grown.rfind(b"\n") + 1]
        self.offset += len(complete)
        fresh = [point for line in complete.splitlines() if line.strip() and (point := self._parse(line))]
        for point in fresh:
            self._add(point)
        return fresh

    def _parse(self, line: bytes) -> Metric | None:
        try:
            return Metric.model_validate_json(line)
        except ValidationError:
            self.damaged += 1
            return None

    def _add(self, point: Metric) -> None:
        """A run resumed from a checkpoint repeats steps: what is told last replaces what came after that step."""
        while self.points and self.points[-1].step > point.step:
            self.points.pop()
        if self.points and self.points[-1].step == point.step:
            known = self.points.pop()
            told = {name: value for name, value in point.model_dump().items() if value is not None}
            point = known.model_copy(update=told)
        self.points.append(point)
