"""What became live when, as deploying wrote it down: lora_adapters/deployments.jsonl."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from persona_dashboard.service_shapes import FolderId, Shape

FILE_NAME = "deployments.jsonl"


class LiveChange(Shape):
    """One line of lora_adapters/deployments.jsonl: what became live, instead of what, who asked and why."""

    event: str
    tag: str
    live: str
    digest: str
    at: datetime
    adapter_id: FolderId | None = None
    skills: tuple[FolderId, ...] = ()
    replaced: str | None = None
    forced: str | None = None
    why: str | None = None
    by: str = "command"
    host: str = ""


@dataclass(frozen=True)
class LiveTag:
    """A tag that clients use: what it is now, and what a rollback would bring back (None: nothing was live before)."""

    name: str
    now: LiveChange
    before: LiveChange | None


@dataclass(frozen=True)
class DeploymentLog:
    """Every change, newest first, and what could not be read of it."""

    changes: tuple[LiveChange, ...] = ()
    fault: str | None = None

    def live(self) -> list[LiveTag]:
        """Each live tag once, the one that changed last first."""
        newest = {change.live: change for change in reversed(self.changes)}
        order = dict.fromkeys(change.live for change in self.changes)
        return [LiveTag(tag.partition(":")[0], newest[tag], self._before(newest[tag])) for tag in order]

    def _before(self, now: LiveChange) -> LiveChange | None:
        known = (change for change in self.changes if change.live == now.live and change.digest == now.replaced)
        return next(known, None)


def read_log(adapters_dir: Path) -> DeploymentLog:
    """The log as far as it can be read; nothing was ever deployed where there is no file."""
    path = adapters_dir / FILE_NAME
    try:
        # Not splitlines(): a reason may hold what Unicode calls a line end (U+2028, U+0085).
        lines = [line for line in path.read_text(encoding="utf-8", errors="replace").split("\n") if line.strip()]
    except FileNotFoundError:
        return DeploymentLog()
    except OSError as failure:
        return DeploymentLog(fault=f"{FILE_NAME}: {failure.strerror}")
    changes: list[LiveChange] = []
    damaged: list[int] = []
    for number, line in enumerate(lines, start=1):
        try:
            changes.append(LiveChange.model_validate_json(line))
        except ValidationError:
            damaged.append(number)
    fault = f"{FILE_NAME}: line {', '.join(map(str, damaged))} cannot be read" if damaged else None
    return DeploymentLog(tuple(reversed(changes)), fault)
