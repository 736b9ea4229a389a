"""Every metric of the gate in tables: what it measures, which way is good, and how much worse is still the same.

No single metric is trusted: style metrics of different families barely agree with each other, and together they do better
than any one. Each compares the candidate with the reference (the deployed version) and the golden version where there are
such, otherwise with the floor (the base model) or with what is acceptable in itself.
"""

from __future__ import annotations

from persona_training.evaluation.battery import Battery, Marker
from persona_training.evaluation.metrics.character import CHARACTER
from persona_training.evaluation.metrics.conversation import CONVERSATION
from persona_training.evaluation.metrics.form import FORM
from persona_training.evaluation.metrics.knowledge import KNOWLEDGE
from persona_training.evaluation.metrics.margins import MARGINS
from persona_training.evaluation.metrics.metric import AgainstFloor, Direction, Hearing, Measure, Metric, Over, each

METRICS: tuple[Metric, ...] = CHARACTER + KNOWLEDGE + FORM + CONVERSATION


def metrics_of(battery: Battery) -> tuple[Metric, ...]:
    """Every metric, and one for each marker of the battery: which habit went missing, which became a tic."""
    return METRICS + tuple(_marker_metric(marker) for marker in battery.markers)


def _marker_metric(marker: Marker) -> Metric:
    low, high = marker.band
    return Metric(
        name=f"marker:{marker.name}",
        title=marker.title,
        unit="share of replies",
        direction="band",
        margin=MARGINS["marker"],
        acceptable=marker.band,
        against_floor="absolute",
        explain=f"Expected in {low:.0%} to {high:.0%} of her replies, and about as often as before: a habit lost is a loss, "
        "one that grows a tic.",
        measure=each(lambda _, __, reply: float(marker.pattern.search(reply) is not None)),
        symmetric=True,
        only_fails=True,  # one habit is a coarse measure: good replies written by one hand differ by 0.23 in their openers
    )


__all__ = ["METRICS", "AgainstFloor", "Direction", "Hearing", "Measure", "Metric", "Over", "metrics_of"]
