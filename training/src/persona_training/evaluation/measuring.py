"""All metrics of all voices at once: what is fitted, is fitted once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from persona_training.evaluation.exam import Exam, Values
from persona_training.evaluation.memorisation import phrases
from persona_training.evaluation.metrics import Hearing, Metric, metrics_of
from persona_training.evaluation.style import StyleScores, score_styles
from persona_training.evaluation.transcript import Transcript


@dataclass(frozen=True)
class Measured:
    """One metric of every voice.

    Attributes:
        metric: its margins are in its own unit here, also those that the table gives as shares of a distance.
        values: per voice, clusters (probes, dialogues or texts, see `metric.over`) x samples; NaN where there is nothing to
            judge. Every voice that was heard is in it; all its values are NaN where `missing` says why.
        ceiling: the level of the hand-written references, half of them scored with what was fitted on the other half; None
            where that means nothing.
        missing: why nothing was measured; empty where something was. Such a metric decides nothing.
    """

    metric: Metric
    values: dict[str, Values]
    ceiling: float | None = None
    missing: str = ""


def measured(exam: Exam, said: Mapping[str, Transcript]) -> list[Measured]:
    """Every metric of the battery, in the order of the report.

    Args:
        exam: what was asked and what the measures may know.
        said: the voices by name: "candidate", and where there are any "reference", "golden" and "floor".
    """
    drawn = {name: transcript.replies for name, transcript in said.items()}
    floor = said.get("floor")
    style = score_styles(
        exam.probes,
        drawn,
        floor=None if floor is None else floor.replies,
        neutral=exam.battery.neutral_replies,
        training_replies=exam.training_replies,
    )
    hearing = Hearing(exam.battery, exam.probes, phrases(exam.training_replies))
    return [_measure(metric, hearing, style, said) for metric in metrics_of(exam.battery)]


def _measure(metric: Metric, hearing: Hearing, style: StyleScores, said: Mapping[str, Transcript]) -> Measured:
    if metric.measure is None:
        return Measured(calibrated(metric, style.ceiling, style.of.get("floor")), style.of, style.ceiling)
    return Measured(metric, {name: metric.measure(hearing, each.replies) for name, each in said.items()})


def calibrated(metric: Metric, ceiling: float, floor: Values | None) -> Metric:
    """A metric whose margins were shares of the distance from floor to ceiling, now in its own unit.

    Without a floor the distance is taken from the classifier's own border, 0. It is never below 1 log-odds, so that a base
    model that already sounds like her does not make the margins vanish.
    """
    bottom = 0.0 if floor is None else float(np.nanmean(floor))
    span = max(ceiling - bottom, 1.0)
    return replace(
        metric,
        margin=round(metric.margin * span, 4),
        rise=None if metric.rise is None else round(metric.rise * span, 4),
    )
