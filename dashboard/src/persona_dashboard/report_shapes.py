"""What a gate report holds, as far as the dashboard shows it; keys it does not know are ignored."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from persona_dashboard.service_shapes import Shape


class Contender(Shape):
    """A model in a gate report."""

    name: str
    adapter_id: str | None = None
    weights_sha256: str | None = None


class Battery(Shape):
    """The probes a report was made with."""

    name: str
    version: str | None = None
    probes: int | None = None
    samples: int | None = None
    dialogues: int | None = None


class HardFail(Shape):
    """A reply that fails the gate whatever the figures say."""

    rule: str
    probe: str = ""
    reply: str = ""


class HardRule(Shape):
    """A rule of the gate, and whether it was broken more often than it tolerates."""

    rule: str = ""
    broken: bool = True


class Comparison(Shape):
    """A figure of a gate report held against one other voice, or judged by itself ("alone")."""

    opponent: str = ""
    difference: float | None = None
    interval: tuple[float | None, float | None] | None = None
    allowed: tuple[float | None, float | None] | None = None
    verdict: str = ""


class Measure(Shape):
    """One figure of a gate report, with the interval of the difference to the reference."""

    name: str
    title: str = ""
    unit: str = ""
    direction: str = "higher"
    floor: float | None = None
    ceiling: float | None = None
    """The level of the hand-written references."""
    golden: float | None = None
    reference: float | None = None
    candidate: float | None = None
    noise: float | None = None
    """How far two hearings of the same voice lie apart by chance."""
    difference: float | None = None
    interval: tuple[float | None, float | None] | None = None
    margin: float | tuple[float, float] | None = None
    allowed: tuple[float | None, float | None] | None = None
    """Where the difference may lie; None on an open side."""
    comparisons: tuple[Comparison, ...] = ()
    advisory: bool = False
    verdict: str
    explain: str = ""
    why: str = ""
    """What keeps it from being decided, and what would tell."""

    def held_against(self) -> tuple[Comparison, ...]:
        """Every comparison; older reports have one, without saying with whom."""
        if self.comparisons or self.difference is None:
            return self.comparisons
        one = Comparison(difference=self.difference, interval=self.interval, allowed=self.allowed, verdict=self.verdict)
        return (one,)


class NotMeasured(Shape):
    """A figure that decided nothing, and why."""

    name: str = ""
    title: str = ""
    reason: str = ""


class Replies(Shape):
    """What the models answered to one probe."""

    probe: str
    facet: str = ""
    prompt: str = ""
    floor: str | None = None
    golden: str | None = None
    reference: str | None = None
    candidate: str | None = None


class GateReport(Shape):
    """lora_adapters/<adapter_id>/summary.json"""

    report_id: str
    created_at: datetime
    candidate: Contender
    reference: Contender | None = None
    golden: Contender | None = None
    """The pinned version, against a slow decline."""
    floor: Contender
    battery: Battery | None = None
    seed: int | None = None
    serving: dict[str, Any] = Field(default_factory=dict)
    verdict: str
    reasons: tuple[str, ...] = ()
    hard_fails: tuple[HardFail, ...] = ()
    hard_rules: tuple[HardRule, ...] = ()
    metrics: tuple[Measure, ...] = ()
    not_measured: tuple[NotMeasured, ...] = ()
    replies: tuple[Replies, ...] = ()

    @property
    def intolerable(self) -> tuple[HardFail, ...]:
        """Replies that break a rule, without the stray ones a rule tolerates."""
        tolerated = {one.rule for one in self.hard_rules if not one.broken}
        return tuple(fail for fail in self.hard_fails if fail.rule not in tolerated)
