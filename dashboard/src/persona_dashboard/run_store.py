"""The door to runs, adapters and gate reports on disk: lora_adapters/<adapter_id>/."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from persona_dashboard.adapter_shapes import AdapterManifest, RunHeartbeat
from persona_dashboard.folder import Folder, Reading
from persona_dashboard.metrics_tail import MetricsTail
from persona_dashboard.report_shapes import GateReport

# Training rewrites run.json at least every 5 s; six missed beats are no longer a busy disk.
DEAD_AFTER_SECONDS = 30.0
ALIVE = frozenset({"queued", "running"})
REPORTS = ("summary.json", "report.json")
ENDED = frozenset({"finished", "interrupted", "failed", "dead"})


@dataclass(frozen=True)
class Run:
    """One adapter's folder: what it is, and how its training stands."""

    adapter_id: str
    manifest: AdapterManifest | None
    heartbeat: RunHeartbeat | None
    status: str
    """queued, running, finished, interrupted, failed, dead (no heartbeat for 30 s) or unknown."""
    began_at: datetime
    faults: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be expected of it."""
        return self.status in ENDED

    @property
    def progress(self) -> float | None:
        """Share of steps done, in [0, 1]."""
        beat = self.heartbeat
        if not beat or not beat.total_steps:
            return None
        return min(beat.step / beat.total_steps, 1.0)


class RunStore(Folder):
    """Reads runs, adapters and reports."""

    def runs(self, now: datetime | None = None) -> list[Run]:
        """Every adapter on disk, newest first."""
        found = [self.run(adapter_id, now) for adapter_id in self.ids("manifest.json", "run.json", "metrics.jsonl")]
        return sorted(found, key=lambda run: run.began_at, reverse=True)

    def exists(self, adapter_id: str) -> bool:
        """Whether there is a folder of that id."""
        return self.file(adapter_id, "manifest.json").parent.is_dir()

    def run(self, adapter_id: str, now: datetime | None = None) -> Run:
        """One run; raises `NoSuchEntry` for an id that cannot be one."""
        manifest = self.read(adapter_id, "manifest.json", AdapterManifest)
        heartbeat = self.read(adapter_id, "run.json", RunHeartbeat)
        return Run(
            adapter_id=adapter_id,
            manifest=manifest.value,
            heartbeat=heartbeat.value,
            status=_status(manifest.value, heartbeat.value, now or datetime.now(UTC)),
            began_at=self._began(adapter_id, manifest.value, heartbeat.value),
            faults=tuple(fault for fault in (manifest.fault, heartbeat.fault) if fault),
        )

    def tail(self, adapter_id: str) -> MetricsTail:
        """A reader that follows the run's metrics."""
        return MetricsTail(self.file(adapter_id, "metrics.jsonl"))

    def report(self, adapter_id: str) -> Reading[GateReport]:
        """The gate's report on an adapter; older ones are called report.json."""
        name = next((name for name in REPORTS if self.file(adapter_id, name).is_file()), REPORTS[0])
        return self.read(adapter_id, name, GateReport)

    def reports(self) -> dict[str, Reading[GateReport]]:
        """Every gate report by its adapter's id."""
        return {adapter_id: self.report(adapter_id) for adapter_id in self.ids(*REPORTS)}

    def report_page(self, adapter_id: str) -> Path | None:
        """The self-contained report.html, or None."""
        path = self.file(adapter_id, "report.html")
        return path if path.is_file() else None

    def stack(self, adapter_id: str) -> list[AdapterManifest]:
        """The layers below and including an adapter, lowest first, as far as their manifests are on disk."""
        layers: list[AdapterManifest] = []
        next_id: str | None = adapter_id
        while next_id and next_id not in {layer.adapter_id for layer in layers}:
            manifest = self.read(next_id, "manifest.json", AdapterManifest).value
            if not manifest:
                break
            layers.append(manifest)
            next_id = manifest.parent.adapter_id if manifest.parent else None
        return layers[::-1]

    def _began(self, adapter_id: str, manifest: AdapterManifest | None, beat: RunHeartbeat | None) -> datetime:
        if manifest:
            return _aware(manifest.created_at)
        if beat:
            return _aware(beat.started_at or beat.heartbeat_at)
        try:
            changed = self.file(adapter_id, "manifest.json").parent.stat().st_mtime
        except OSError:
            changed = 0.0
        return datetime.fromtimestamp(changed, UTC)


def _status(manifest: AdapterManifest | None, heartbeat: RunHeartbeat | None, now: datetime) -> str:
    status = heartbeat.status if heartbeat else manifest.status if manifest else "unknown"
    if manifest and manifest.status == "finished":
        return manifest.status  # written before the heartbeat's last line, which a kill in between leaves out
    if status not in ALIVE:
        return status
    if not heartbeat:
        return "dead"
    silent = (now - _aware(heartbeat.heartbeat_at)).total_seconds()
    return "dead" if silent > DEAD_AFTER_SECONDS else status


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
