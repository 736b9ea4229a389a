"""How much worse than the reference is still "not worse", per metric, in one place: it is a matter of measurement.

A margin is at least twice the half-width of the 90 % interval between two examinations of one and the same voice with 130
probes x 4 samples and 12 dialogues, so that the same voice passes; and small enough that half of a habit lost is outside.
"""

from __future__ import annotations

# In the unit of the metric; style, style_slope and style_late in shares of the distance from the base model to the ceiling.
MARGINS: dict[str, float] = {
    "style": 0.20,
    "similarity": 0.06,
    "marker_rate": 0.15,
    "marker_count": 0.60,
    "assistant_tone": 0.06,
    "refusal": 0.06,
    "out_of_character": 0.06,
    "persona_loss": 0.15,
    "core_facts": 0.15,
    "weekly_facts": 0.20,
    "capability": 0.20,
    "leak": 0.06,
    "general_loss": 0.15,
    "language": 0.08,
    "dialect": 0.12,
    "length": 6.0,
    "length_p90": 10.0,
    "questions": 0.25,
    "distinct_1": 0.12,
    "distinct_2": 0.12,
    "self_bleu": 0.10,
    "topic": 0.15,
    "repeated": 0.10,
    "memorised": 0.20,
    "style_slope": 0.03,
    "marker_slope": 0.05,
    "style_late": 0.30,
    "marker": 0.15,
}
