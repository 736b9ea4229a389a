"""Every metric of the gate in one table: what it measures, which way is good, and how much worse is still the same.

No single metric is trusted: style metrics of different families barely agree with each other, and together they do better
than any one. Each compares the candidate with one other model: the reference (the deployed version) where there is one,
otherwise the floor (the base model).

The margins are at least twice the half-width of the 90 % interval between two runs of the same model: measured on five
runs of a tiny layer 1 with 40 probes x 2 samples, the half-widths are 0.12 to 0.44 of the margins. So the same voice passes
and a loss of twice the margin fails (`training/tests/evaluation/test_power.py` keeps that honest).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from persona_training.evaluation import diversity, facts, language, markers, memorisation, shape
from persona_training.evaluation.battery import Battery, Marker, Probe
from persona_training.evaluation.bootstrap import Statistic

Direction = Literal["higher", "lower", "band"]
AgainstFloor = Literal["rise", "hold", "absolute"]
Over = Literal["probes", "dialogues", "texts"]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Hearing:
    """Everything the metrics listen to.

    Attributes:
        battery: markers and phrases.
        probes: the probes asked, in the order of all reply lists.
        known_phrases: four-word runs of the training replies; empty when the dataset is not at hand.
    """

    battery: Battery
    probes: Sequence[Probe]
    known_phrases: frozenset[tuple[str, ...]] = frozenset()


Measure = Callable[[Hearing, Sequence[Sequence[str]]], Values]


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
        rise: see above; None unless against_floor is "rise".
        symmetric: for a band, whether moving up inside the band is as suspicious as moving down.
        statistic: how prompts are put together.
        advisory: shown with its verdict, but it decides nothing.
        explain: what it means, for the person who reads the report.
        measure: replies (prompts x samples) to values; None for style, whose scores need all models at once.
        over: what a row of its values is: a probe, a dialogue or a text.
        scale: lowest and highest value there can be.
        source: the paper it is taken from, or "own".
        also_floor: it is compared with the base model even where there is a reference, because a slow loss shows only there.
        floor_margin: how much worse than the base model is still fine, where that is not `margin`.
    """

    name: str
    title: str
    unit: str
    direction: Direction
    margin: float
    acceptable: tuple[float, float]
    against_floor: AgainstFloor
    explain: str
    measure: Measure | None
    rise: float | None = None
    symmetric: bool = False
    statistic: Statistic = "mean"
    advisory: bool = False
    over: Over = "probes"
    scale: tuple[float, float] = (0.0, 1.0)
    source: str = "own"
    also_floor: bool = False
    floor_margin: float | None = None


def each(measure: Callable[[Hearing, Probe, str], float]) -> Measure:
    """A measure that looks at one reply at a time."""

    def over(hearing: Hearing, replies: Sequence[Sequence[str]]) -> Values:
        rows = [
            [measure(hearing, probe, reply) for reply in samples]
            for probe, samples in zip(hearing.probes, replies, strict=True)
        ]
        return np.array(rows, dtype=np.float64)

    return over


def _distinct(_: Hearing, replies: Sequence[Sequence[str]]) -> Values:
    flat = diversity.distinct_bigrams([reply for samples in replies for reply in samples])
    return np.array(flat, dtype=np.float64).reshape(len(replies), -1)


def _repeated(_: Hearing, replies: Sequence[Sequence[str]]) -> Values:
    return np.array(diversity.repeated_elsewhere(replies), dtype=np.float64)


METRICS: tuple[Metric, ...] = (
    Metric(
        name="style",
        title="Sounds like her",
        unit="log-odds",
        direction="higher",
        margin=0.20,  # of the distance floor to ceiling; see `judgement.calibrated`
        acceptable=(0.0, math.inf),
        against_floor="rise",
        rise=0.25,  # of the same distance
        explain="A character n-gram classifier's log-odds that the character wrote the reply rather than the base model. "
        "Margins are shares of the distance between the base model and held-out references written by hand.",
        measure=None,
    ),
    Metric(
        name="marker_rate",
        title="Replies with one of her markers",
        unit="share of replies",
        direction="band",
        margin=0.15,
        acceptable=(0.55, math.inf),  # too many show in the next row: a share cannot say "twice in one reply"
        against_floor="rise",
        rise=0.20,
        explain="Stage directions, forms of address and openers she is known by. Losing them is the plainest lobotomy.",
        measure=each(lambda hearing, _, reply: markers.has_marker(reply, hearing.battery.markers)),
    ),
    Metric(
        name="marker_count",
        title="Markers per reply",
        unit="markers",
        direction="band",
        margin=0.60,
        acceptable=(0.6, 3.5),
        against_floor="absolute",
        explain="Too few is a lobotomy, too many a parody of herself.",
        measure=each(lambda hearing, _, reply: markers.marker_count(reply, hearing.battery.markers)),
    ),
    Metric(
        name="assistant_tone",
        title="Assistant tone",
        unit="share of replies",
        direction="lower",
        margin=0.06,
        acceptable=(0.0, 0.06),
        against_floor="hold",
        explain="Phrases and list layouts of a polite assistant, in Spanish and English.",
        measure=each(lambda hearing, _, reply: markers.says_any(reply, hearing.battery.assistant_tone)),
    ),
    Metric(
        name="refusal",
        title="Refusals and apologies",
        unit="share of replies",
        direction="lower",
        margin=0.06,
        acceptable=(0.0, 0.06),
        against_floor="hold",
        explain="She mocks a request or answers it; she does not decline it with regrets.",
        measure=each(lambda hearing, _, reply: markers.says_any(reply, hearing.battery.refusal)),
    ),
    Metric(
        name="language",
        title="In the expected language",
        unit="share of replies",
        direction="higher",
        margin=0.08,
        acceptable=(0.85, 1.0),
        against_floor="hold",
        explain="Spanish or English by lingua, stage directions left out; replies below three spoken words are not judged.",
        measure=each(lambda _, probe, reply: language.in_expected_language(reply, probe.reply_language)),
    ),
    Metric(
        name="length",
        title="Length (median)",
        unit="words",
        direction="band",
        margin=6.0,
        acceptable=(5.0, 45.0),
        against_floor="absolute",
        symmetric=True,
        statistic="median",
        explain="One to three sentences. A drift either way changes who is talking.",
        measure=each(lambda _, __, reply: shape.length_in_words(reply)),
    ),
    Metric(
        name="questions",
        title="Replies that ask",
        unit="share of replies",
        direction="band",
        margin=0.25,
        acceptable=(0.0, 0.6),
        against_floor="absolute",
        symmetric=True,
        explain="An interviewer or a customer desk asks back every time.",
        measure=each(lambda _, __, reply: shape.asks(reply)),
    ),
    Metric(
        name="distinct_2",
        title="Distinct word pairs",
        unit="share",
        direction="higher",
        margin=0.12,
        acceptable=(0.30, 1.0),
        against_floor="absolute",
        explain="Different word pairs over all word pairs, averaged over replies. It falls when she repeats herself.",
        measure=_distinct,
    ),
    Metric(
        name="repeated",
        title="Same reply to another prompt",
        unit="share of replies",
        direction="lower",
        margin=0.10,
        acceptable=(0.0, 0.30),
        against_floor="absolute",
        explain="Nearly the same words (Jaccard 0.8) were given to a different probe.",
        measure=_repeated,
    ),
    Metric(
        name="memorised",
        title="Lifted from the training set",
        unit="share of 4-word runs",
        direction="lower",
        margin=0.20,
        acceptable=(0.0, 0.90),
        against_floor="absolute",
        explain="Four-word runs of the reply that stand in the training replies, stage directions left out. "
        "Catchphrases are fine, a recital is not.",
        measure=each(lambda hearing, _, reply: memorisation.lifted_share(reply, hearing.known_phrases)),
    ),
    Metric(
        name="facts",
        title="Right answers",
        unit="share of checkable replies",
        direction="higher",
        margin=0.15,
        acceptable=(0.0, 1.0),
        against_floor="hold",
        explain="Core facts, sums and names that one right answer must contain. Accents and case do not count.",
        measure=each(lambda _, probe, reply: facts.says_expected(reply, probe.expect)),
    ),
)


def metrics_of(battery: Battery) -> tuple[Metric, ...]:
    """Every metric, and one advisory row per marker of the battery: which habit went missing, which became a tic."""
    return METRICS + tuple(_marker_metric(marker) for marker in battery.markers)


def _marker_metric(marker: Marker) -> Metric:
    low, high = marker.band
    return Metric(
        name=f"marker:{marker.name}",
        title=marker.title,
        unit="share of replies",
        direction="band",
        margin=0.15,
        acceptable=marker.band,
        against_floor="absolute",
        explain=f"Expected in {low:.0%} to {high:.0%} of her replies. Advisory: it decides nothing.",
        measure=each(lambda _, __, reply: float(marker.pattern.search(reply) is not None)),
        advisory=True,
    )
