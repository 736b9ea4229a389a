"""Did the reply say what it had to say, and nothing it must not?"""

from __future__ import annotations

import math
from collections.abc import Sequence

from persona_training.evaluation.words import plain


def says_expected(reply: str, expect: Sequence[str], reject: Sequence[str] = ()) -> float:
    """1.0 when one of the expected phrases stands in the reply as whole words and none of the rejected ones does, else 0.0.

    Without expected phrases, not to be rejected is enough; NaN where there are neither.
    """
    if not expect and not reject:
        return math.nan
    return float((not expect or says_one_of(reply, expect)) and not says_one_of(reply, reject))


def says_one_of(reply: str, phrases: Sequence[str]) -> bool:
    """Does one of the phrases stand in the reply as whole words? Accents, case and punctuation do not count."""
    padded = f" {plain(reply)} "
    return any(f" {plain(phrase)} " in padded for phrase in phrases)
