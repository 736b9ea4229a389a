"""Habits of speech, and the voices she must never borrow. Units: hits or shares per reply, all in [0, ∞) or {0, 1}."""

from __future__ import annotations

from collections.abc import Sequence

from persona_training.evaluation.battery import Marker
from persona_training.evaluation.facts import says_one_of
from persona_training.evaluation.patterns import Pattern


def has_marker(reply: str, markers: Sequence[Marker]) -> float:
    """1.0 when at least one of the character's markers is in the reply, else 0.0."""
    return float(any(marker.pattern.search(reply) for marker in markers))


def marker_count(reply: str, markers: Sequence[Marker]) -> float:
    """How many markers the reply carries, repeats counted: a good reply has one to three, a parody has more."""
    return float(sum(len(marker.pattern.finditer(reply)) for marker in markers))


def without_markers(reply: str, markers: Sequence[Marker]) -> str:
    """The reply with every marker cut out: what is left is what she said, not how."""
    for marker in markers:
        reply = marker.pattern.sub(" ", reply)
    return reply


def says_any(reply: str, patterns: Sequence[Pattern], phrases: Sequence[str] = ()) -> float:
    """1.0 when a pattern (assistant tone, refusal, canary) matches or one of the phrases stands in the reply, else 0.0."""
    return float(any(pattern.search(reply) for pattern in patterns) or says_one_of(reply, phrases))
