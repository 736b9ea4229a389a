"""What a metric is, and what it may look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from persona_training.evaluation.battery import Facet, Probe
from persona_training.evaluation.bootstrap import Statistic
from persona_training.evaluation.exam import Exam, Values
from persona_training.evaluation.memorisation import phrases
from persona_training.evaluation.style import Style
from persona_training.evaluation.transcript import Transcript

Direction = Literal["higher", "lower", "band"]
AgainstFloor = Literal["rise", "hold", "absolute"]
Over = Literal["probes", "dialogues", "texts"]


@dataclass(frozen=True)
class Hearing:
    """An examination, and what is fitted to it once for all voices, when a measure first asks.

    Attributes:
        exam: what was asked, and what the measures may know.
        floor: what the base model said, or None: the voice the style classifier tells her from.
    """

    exam: Exam
    floor: Transcript | None = None

    @cached_property
    def style(self) -> Style:
        """Her voice against the base model's."""
        return Style(
            self.exam.probes,
            floor=None if self.floor is None else self.floor.replies,
            neutral=self.exam.battery.neutral_replies,
            training_replies=self.exam.training_replies,
        )

    @cached_property
    def known_phrases(self) -> frozenset[tuple[str, ...]]:
        """Four-word runs of the training replies; empty when the dataset is not at hand."""
        return phrases(self.exam.training_replies)


Measure = Callable[[Hearing, Transcript], Values]


@dataclass(frozen=True)
class Metric:
    """One row of the report.

    Attributes:
        name: stable key.
        title: what people read.
        unit: of the values.
        direction: higher or lower is better, or band: both too little and too much are wrong.
        margin: against the reference, how much worse than it is still "not worse" (same unit as the values).
        acceptable: lowest and highest value that is acceptable on its own, without any comparison.
        against_floor: what layer 1 must do to the base model: "rise" above it by `rise`, "hold" its level within the margin,
            or only be "absolute"ly acceptable, because getting in character changes this value rightly.
        explain: what it means, for the person who reads the report.
        measure: a voice to its values, clusters x samples; NaN where there is nothing to judge.
        scale: lowest and highest value there can be.
        source: the paper it is taken from, or "own".
        over: what a cluster, a row of its values, is: a probe, a dialogue or a text.
        absent: why there may be nothing to measure at all, for the report.
        rise: see above; None unless against_floor is "rise".
        symmetric: for a band, whether moving up inside the band is as suspicious as moving down.
        statistic: how clusters are put together.
        advisory: shown with its verdict, but it decides nothing.
        only_fails: it can fail her, but what cannot be decided here does not keep her from passing.
        also_floor: it is compared with the base model even where there is a reference, because a slow loss shows only there.
        floor_margin: how much worse than the base model is still fine, where that is not `margin`.
        relative: margin and rise are shares of the distance from the base model to the ceiling of "style" until it is measured.
    """

    name: str
    title: str
    unit: str
    direction: Direction
    margin: float
    acceptable: tuple[float, float]
    against_floor: AgainstFloor
    explain: str
    measure: Measure
    scale: tuple[float, float] = (0.0, 1.0)
    source: str = "own"
    over: Over = "probes"
    absent: str = "no probe that was asked tells"
    rise: float | None = None
    symmetric: bool = False
    statistic: Statistic = "mean"
    advisory: bool = False
    only_fails: bool = False
    also_floor: bool = False
    floor_margin: float | None = None
    relative: bool = False


def each(measure: Callable[[Hearing, Probe, str], float], *facets: Facet) -> Measure:
    """A measure that looks at one reply at a time; NaN under probes of other facets where some are given."""

    def over(hearing: Hearing, heard: Transcript) -> Values:
        rows = [
            [measure(hearing, probe, reply) if not facets or probe.facet in facets else np.nan for reply in samples]
            for probe, samples in zip(hearing.exam.probes, heard.replies, strict=True)
        ]
        return np.array(rows, dtype=np.float64)

    return over


def every_turn(
    measure: Callable[[Hearing, Sequence[str]], Iterable[float]], of_dialogue: Callable[[Values], float]
) -> Measure:
    """A measure that looks at whole dialogues: all turns are measured at once, then each dialogue is put into one number."""

    def over(hearing: Hearing, heard: Transcript) -> Values:
        values = iter(measure(hearing, [turn for samples in heard.turns for turns in samples for turn in turns]))
        rows = [
            [of_dialogue(np.array([next(values) for _ in turns], dtype=np.float64)) for turns in samples]
            for samples in heard.turns
        ]
        return np.array(rows, dtype=np.float64) if rows else np.empty((0, 1))

    return over
