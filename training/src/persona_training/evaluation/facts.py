"""Did the reply say what it had to say?"""

from __future__ import annotations

import math
from collections.abc import Sequence

from persona_training.evaluation.words import plain


def says_expected(reply: str, expect: Sequence[str]) -> float:
    """1.0 when one of the expected words or phrases stands in the reply as whole words, else 0.0; NaN if none is expected."""
    if not expect:
        return math.nan
    padded = f" {plain(reply)} "
    return float(any(f" {plain(phrase)} " in padded for phrase in expect))
