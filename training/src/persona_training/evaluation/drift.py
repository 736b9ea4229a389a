"""Does she fade while a conversation goes on?

Characters held up by a prompt drift measurably within eight rounds (Li et al. 2024, arXiv 2402.10962), which single replies
cannot show.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

LATE = 1 / 3  # the last third of a dialogue of twelve turns is turns 9 to 12


def slope_per_turn(values: NDArray[np.float64]) -> float:
    """Least-squares slope of the values over the turns, per turn; NaN turns are left out, NaN with fewer than two turns.

    Args:
        values: one per turn, in order.
    """
    known = ~np.isnan(values)
    if known.sum() < 2:
        return math.nan
    turns = np.flatnonzero(known).astype(np.float64)
    turns -= turns.mean()
    return float(turns @ values[known] / (turns @ turns))


def late_level(values: NDArray[np.float64]) -> float:
    """Mean of the last third of the turns, NaN turns left out; NaN when none of them has a value."""
    late = values[len(values) - max(1, round(len(values) * LATE)) :]
    known = late[~np.isnan(late)]
    return float(known.mean()) if len(known) else math.nan
