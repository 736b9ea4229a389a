"""Habits of speech, and the two voices she must never borrow. Units: hits or shares per reply, all in [0, ∞) or {0, 1}."""

from __future__ import annotations

import re
from collections.abc import Sequence

from persona_training.evaluation.battery import Marker


def has_marker(reply: str, markers: Sequence[Marker]) -> float:
    """1.0 when at least one of the character's markers is in the reply, else 0.0."""
    return float(any(marker.pattern.search(reply) for marker in markers))


def marker_count(reply: str, markers: Sequence[Marker]) -> float:
    """How many markers the reply carries, repeats counted: a good reply has one to three, a parody has more."""
    return float(sum(len(marker.pattern.findall(reply)) for marker in markers))


def says_any(reply: str, patterns: Sequence[re.Pattern[str]]) -> float:
    """1.0 when one of the phrases (assistant tone, refusal) is in the reply, else 0.0."""
    return float(any(pattern.search(reply) for pattern in patterns))
