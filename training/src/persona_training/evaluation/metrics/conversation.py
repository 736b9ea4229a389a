"""Does she stay herself over a whole conversation? Rows are dialogues."""

from __future__ import annotations

import math
from collections.abc import Sequence

from persona_training.evaluation import markers
from persona_training.evaluation.drift import late_level, slope_per_turn
from persona_training.evaluation.exam import Values
from persona_training.evaluation.metrics.margins import MARGINS
from persona_training.evaluation.metrics.metric import Hearing, Metric, every_turn

_SOURCE = "Li et al. 2024, arXiv 2402.10962"
_ABSENT = "no dialogue was held"


def _style(hearing: Hearing, turns: Sequence[str]) -> Values:
    return hearing.style.of_any(turns)


def _marked(hearing: Hearing, turns: Sequence[str]) -> list[float]:
    return [markers.has_marker(turn, hearing.exam.battery.markers) for turn in turns]


CONVERSATION: tuple[Metric, ...] = (
    Metric(
        name="style_slope",
        title="Style, drift in a dialogue",
        unit="log-odds per turn",
        direction="higher",
        margin=MARGINS["style_slope"],
        only_fails=True,  # twelve dialogues show a clear drift; the level of the late turns shows the rest
        acceptable=(-math.inf, math.inf),
        against_floor="absolute",
        explain="How much less she sounds like herself with every turn; the margin is a share of the distance between the base "
        "model and her references.",
        measure=every_turn(_style, slope_per_turn),
        scale=(-math.inf, math.inf),
        source=_SOURCE,
        over="dialogues",
        absent=_ABSENT,
        relative=True,
    ),
    Metric(
        name="marker_slope",
        title="Markers, drift in a dialogue",
        unit="share of replies per turn",
        direction="higher",
        margin=MARGINS["marker_slope"],
        only_fails=True,  # twelve dialogues show a clear drift; the level of the late turns shows the rest
        acceptable=(-0.05, 1.0),
        against_floor="absolute",
        explain="How many fewer of her replies carry a marker with every turn.",
        measure=every_turn(_marked, slope_per_turn),
        scale=(-1.0, 1.0),
        source=_SOURCE,
        over="dialogues",
        absent=_ABSENT,
    ),
    Metric(
        name="style_late",
        title="Sounds like her, late in a dialogue",
        unit="log-odds",
        direction="higher",
        margin=MARGINS["style_late"],
        acceptable=(0.0, math.inf),
        against_floor="rise",
        rise=0.25,
        explain="Style in the last third of each dialogue: a level is surer than a slope, and it is what viewers hear.",
        measure=every_turn(_style, late_level),
        scale=(-math.inf, math.inf),
        source=_SOURCE,
        over="dialogues",
        absent=_ABSENT,
        relative=True,
    ),
)
