"""How much worse than the reference is still "not worse", per metric, in one place: it is a matter of measurement.

A margin is at least twice the half-width of the 90 % interval between two examinations of one and the same voice with other
sampling seeds, so that it passes; it leaves room for the same training with another seed; and half of a habit lost is far
outside. The half-widths below are the larger ones of two voices: tiny layer 1s (200 steps on the sample month, seeds 7 and 8),
130 probes x 4 samples and 12 dialogues x 1, temperature 0.9, 21 November 2026. A tiny model knows few facts and keeps no
secret: where k probes are each answered rightly half the time, in four samples, the half-width is 0.58 / √k.
"""

from __future__ import annotations

# In the unit of the metric; those marked * in shares of the distance from the base model to the ceiling of style, 7.3 there.
MARGINS: dict[str, float] = {
    "style": 0.12,  # * half-width 0.03; between training seeds 0.04
    "similarity": 0.03,  # 0.011
    "marker_rate": 0.10,  # 0.014
    "marker_count": 0.50,  # 0.12; between training seeds 0.25
    "assistant_tone": 0.04,  # 0.003
    "refusal": 0.04,  # 0
    "out_of_character": 0.04,  # 0
    "persona_loss": 0.15,  # the same voice has the same losses; between training seeds 0.06 with a half-width of 0.06
    "core_facts": 0.22,  # 30 probes: 0.11
    "weekly_facts": 0.30,  # 12 probes and more: 0.17
    "capability": 0.23,  # 26 probes: 0.11
    "leak": 0.10,  # one stray reply of 40 is 0.025
    "general_loss": 0.20,  # the same voice has the same losses; between training seeds 0.07 with a half-width of 0.08
    "language": 0.06,  # 0.010
    "dialect": 0.12,  # 0.05, because only every third probe is answered with a form that tells
    "length": 5.0,  # 1.0
    "length_p90": 8.0,  # 1.3
    "questions": 0.15,  # 0.025
    "distinct_1": 0.06,  # 0.008
    "distinct_2": 0.08,  # 0.012
    "self_bleu": 0.06,  # 0.004
    "topic": 0.15,  # 0.044; the same voice may have two words that are nearly as common
    "repeated": 0.08,  # 0
    "memorised": 0.12,  # 0
    "style_slope": 0.04,  # * 0.018
    "marker_slope": 0.05,  # 0.018
    "style_late": 0.30,  # * 0.10
    "marker": 0.25,  # 0.05; between training seeds 0.05. One reply a probe, of 90 probes: 0.15
}
