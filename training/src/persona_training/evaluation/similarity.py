"""Does she say what she would say, or what anybody would?

The cosine to her references alone mostly measures the topic, which a polite reply shares. What is left after the cosine to a
neutral reply to the same prompt is subtracted is hers.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


def margin(reply: Vectors, references: Vectors, neutral: Vectors) -> float:
    """Cosine to the references (their mean) minus cosine to the nearest neutral reply, in [-2, 2].

    Args:
        reply: one vector of length 1.
        references: texts x dimension, of length 1 each.
        neutral: texts x dimension, of length 1 each.

    Returns:
        NaN when one side has no text.
    """
    if not len(references) or not len(neutral):
        return math.nan
    return float(np.mean(references @ reply) - np.max(neutral @ reply))
