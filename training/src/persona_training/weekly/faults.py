"""What a failed gate report says went wrong: which metrics, which way, and in which probes it shows most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from persona_training.evaluation.battery import Battery, Probe
from persona_training.evaluation.bootstrap import per_cluster
from persona_training.evaluation.exam import Exam, Values
from persona_training.evaluation.measuring import measured
from persona_training.evaluation.results import VOICES
from persona_training.evaluation.transcript import Transcript

Report = Mapping[str, Any]
# Probes named per fault: enough to see what they have in common, few enough to be read.
MOST_PROBES = 3


@dataclass(frozen=True)
class Fault:
    """A metric that failed.

    Attributes:
        name, title, unit: of the metric.
        opponent: the voice she was compared with, or "alone" where she was judged by herself.
        level: that voice's value; alone, the edge of what is acceptable.
        goal: the nearest value that would have been fine.
        value: hers.
        sign: +1 where she lies too high, -1 where too low.
        margin: how far off would still have been fine, in the metric's unit.
    """

    name: str
    title: str
    unit: str
    opponent: str
    level: float
    goal: float
    value: float
    sign: int
    margin: float


@dataclass(frozen=True)
class Shown:
    """A probe in which a fault shows, with what she said now and what the other voice had said (None where there is none).

    Attributes:
        change: of the metric from the other voice to her, in the metric's unit and in the direction of the fault; from what
            would have been fine, where the other voice was no better anywhere.
    """

    probe: str
    prompt: str
    change: float
    reply: str
    before: str | None


def faults_of(report: Report) -> list[Fault]:
    """Every deciding metric that failed, in the report's order."""
    return [_fault(one) for one in report["metrics"] if one["verdict"] == "fail" and not one["advisory"]]


def _fault(metric: Mapping[str, Any]) -> Fault:
    """By the first comparison that failed."""
    failed = next(one for one in metric["comparisons"] if one["verdict"] == "fail")
    low, high = failed["allowed"]
    too_low = low is not None and (high is None or failed["difference"] < (low + high) / 2)
    edge = float(low if too_low else high)
    alone = failed["opponent"] == "alone"
    return Fault(
        name=metric["name"],
        title=metric["title"],
        unit=metric["unit"],
        opponent=failed["opponent"],
        level=edge if alone else float(metric[failed["opponent"]]),
        goal=edge if alone else float(metric[failed["opponent"]]) + edge,
        value=float(metric["candidate"]),
        sign=-1 if too_low else 1,
        margin=float(metric["margin"]),
    )


def broken_rules(report: Report) -> list[str]:
    """The hard rules that were broken by more than is tolerated."""
    return [rule["rule"] for rule in report["hard_rules"] if rule["broken"]]


@dataclass(frozen=True)
class Heard:
    """The probes of a report and what every voice replied, rebuilt from its side-by-side rows."""

    probes: tuple[Probe, ...]
    said: dict[str, Transcript]


def heard(report: Report, battery: Battery) -> Heard:
    """The replies of a report; probes the battery does not know any more are left out."""
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in report["replies"]:
        rows.setdefault(row["probe"], []).append(row)
    probes = tuple(probe for probe in battery.probes if probe.id in rows)
    samples = min((len(rows[probe.id]) for probe in probes), default=0)
    said: dict[str, Transcript] = {}
    for voice in VOICES:
        replies = [[row.get(voice) for row in _in_order(rows[probe.id])[:samples]] for probe in probes]
        if samples and all(reply is not None for row in replies for reply in row):
            said[voice] = Transcript(name=voice, replies=[[str(reply) for reply in row] for row in replies])
    return Heard(probes, said)


def _in_order(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(rows, key=lambda row: int(row.get("sample", 0)))


def shown_in(faults: Sequence[Fault], battery: Battery, heard: Heard) -> dict[str, list[Shown]]:
    """For each fault the probes with the largest change behind it, largest first.

    Faults that are measured over dialogues or texts show in no probe.
    """
    if not faults or "candidate" not in heard.said:
        return {fault.name: [] for fault in faults}
    exam = Exam(battery, heard.probes)
    values = {one.metric.name: one.values for one in measured(exam, heard.said) if one.metric.over == "probes"}
    return {fault.name: _largest(fault, values.get(fault.name, {}), heard) for fault in faults}


def _largest(fault: Fault, values: Mapping[str, Values], heard: Heard) -> list[Shown]:
    own, other = values.get("candidate"), values.get(fault.opponent)
    if own is None or own.shape[0] != len(heard.probes):
        return []
    hers = fault.sign * per_cluster(own)
    change = hers - fault.sign * (np.full(len(hers), fault.level) if other is None else per_cluster(other))
    if not (change > 0).any():  # the other voice was no better: then it shows wherever she is not where she should be
        change = hers - fault.sign * fault.goal
    order = [n for n in np.argsort(-np.nan_to_num(change, nan=-np.inf), kind="stable") if change[n] > 0]
    return [
        Shown(
            probe=heard.probes[n].id,
            prompt=heard.probes[n].prompt,
            change=round(float(change[n]), 3),
            reply=heard.said["candidate"].replies[n][_worst(fault.sign * own[n])],
            before=heard.said[fault.opponent].replies[n][0] if fault.opponent in heard.said else None,
        )
        for n in order[:MOST_PROBES]
    ]


def _worst(signed: Values) -> int:
    return int(np.argmax(np.nan_to_num(signed, nan=-np.inf)))
