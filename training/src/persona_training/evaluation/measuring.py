"""All metrics of all voices at once: what is fitted, is fitted once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from persona_training.evaluation.bootstrap import estimate
from persona_training.evaluation.exam import Exam, Values
from persona_training.evaluation.metrics import Hearing, Metric, metrics_of
from persona_training.evaluation.transcript import Transcript

SMALLEST_DISTANCE = 1.0  # log-odds: a base model that already sounds like her must not make the margins vanish


@dataclass(frozen=True)
class Measured:
    """One metric of every voice.

    Attributes:
        metric: its margins are in its own unit here, also those that the table gives as shares of a distance.
        values: per voice, clusters (probes, dialogues or texts, see `metric.over`) x samples; NaN where there is nothing to
            judge. Every voice that was heard is in it; all the candidate's values are NaN where `missing` says why.
        ceiling: the level of the hand-written references, each scored with what was fitted on others; None where that means
            nothing, as for dialogues and texts, to which none are written.
        missing: why nothing was measured; empty where something was. Such a metric decides nothing.
    """

    metric: Metric
    values: dict[str, Values]
    ceiling: float | None = None
    missing: str = ""


def measured(exam: Exam, said: Mapping[str, Transcript]) -> list[Measured]:
    """Every metric of the battery, in the order of the report.

    130 probes x 4 samples, 12 dialogues and four voices take CPU seconds, see `training/tests/evaluation/test_measuring.py`;
    embedding, 10 ms per reply not seen before, comes on top.

    Args:
        exam: what was asked and what the measures may know.
        said: the voices by name: "candidate", and where there are any "reference", "golden" and "floor".
    """
    hearing = Hearing(exam, said.get("floor"))
    hers = references_as_replies(exam)
    distance = _distance(hearing, hers)
    return [_measure(metric, hearing, said, hers, distance) for metric in metrics_of(exam.battery)]


def references_as_replies(exam: Exam) -> Transcript:
    """The hand-written references as if a voice had said them: as many samples as every probe has references."""
    samples = min(len(probe.references) for probe in exam.probes)
    return Transcript("references", [probe.references[:samples] for probe in exam.probes])


def _measure(
    metric: Metric, hearing: Hearing, said: Mapping[str, Transcript], hers: Transcript, distance: float
) -> Measured:
    if metric.relative:
        metric = in_own_unit(metric, distance)
    values = {name: metric.measure(hearing, heard) for name, heard in said.items()}
    if all(np.isnan(rows).all() for rows in values.values()):
        return Measured(metric, values, missing=metric.absent)
    ceiling = level(metric, metric.measure(hearing, hers)) if metric.over == "probes" else None
    return Measured(metric, values, ceiling)


def level(metric: Metric, values: Values) -> float | None:
    """One number for a voice: the mean, or whatever the metric takes, over its clusters; None when nothing can be judged."""
    found = estimate(values, metric.statistic, 0, rounds=1)
    return None if found is None else found.value


def _distance(hearing: Hearing, hers: Transcript) -> float:
    """Log-odds between the base model and held-out references; from the classifier's own border, 0, without a base model."""
    bottom = 0.0 if hearing.floor is None else float(np.mean(hearing.style.held_out(hearing.floor.replies)))
    return max(float(np.mean(hearing.style.held_out(hers.replies))) - bottom, SMALLEST_DISTANCE)


def in_own_unit(metric: Metric, distance: float) -> Metric:
    """A metric whose margins were shares of a distance."""
    return replace(
        metric,
        margin=round(metric.margin * distance, 4),
        rise=None if metric.rise is None else round(metric.rise * distance, 4),
        relative=False,
    )
