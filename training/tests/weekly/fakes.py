"""Stages that note what they are asked and do what a table says."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from persona_training.display import Display
from persona_training.weekly.calendar_week import IsoWeek
from persona_training.weekly.endings import (
    DEPLOY_FAILED,
    DEPLOYED,
    EXPORT_FAILED,
    GATE_FAILED,
    NOT_JUDGED,
    TRAINING_FAILED,
    Ending,
)
from persona_training.weekly.journal import STAGES, Journal, StageName, read_journal
from persona_training.weekly.machine import Outcome, Result, Results, Stage, run_week
from rich.console import Console

WEEK = IsoWeek(2026, 47)
FAILED: dict[StageName, Ending] = dict(
    zip(STAGES, (EXPORT_FAILED, TRAINING_FAILED, NOT_JUDGED, DEPLOY_FAILED), strict=True)
)


class Killed(BaseException):
    """What a SIGKILL looks like from inside: nothing after it runs."""


@dataclass
class Fake:
    """One stage. `ways` are used up one per run: an exception to raise, or the verdict of its result."""

    name: StageName
    ways: list[Any] = field(default_factory=list)
    runs: list[tuple[Results, str]] = field(default_factory=list)
    lost: str | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> Ending:
        return FAILED[self.name]

    def asked(self) -> dict[str, Any]:
        return self.options

    def plan(self, done: Results) -> str:
        return f"would {self.name} after {', '.join(done) or 'nothing'}"

    def run(self, done: Results, since: str) -> Result:
        self.runs.append((dict(done), since))
        way = self.ways.pop(0) if self.ways else "pass"
        if isinstance(way, BaseException):
            raise way
        return {"made": f"{self.name}-{len(self.runs)}", "verdict": way}

    def gone(self, result: Result) -> str | None:
        return self.lost

    def verdict(self, result: Result) -> tuple[Ending, str] | None:
        return None if result["verdict"] == "pass" else (GATE_FAILED, "The gate's verdict is fail.")


def fakes(**ways: list[Any]) -> dict[StageName, Fake]:
    """All four, with the ways given by name."""
    return {name: Fake(name, ways.get(name, [])) for name in STAGES}


def journal_in(folder: Path) -> Journal:
    """What the disk says, as the next process reads it."""
    return read_journal(folder, WEEK, None)


def carry_on(stages: dict[StageName, Fake], folder: Path) -> tuple[Outcome, str]:
    """One process' run of the week: the journal is read afresh."""
    text = StringIO()
    listed: list[Stage] = list(stages.values())
    outcome = run_week(listed, journal_in(folder), DEPLOYED, Display(Console(file=text, width=200)))
    return outcome, text.getvalue()
