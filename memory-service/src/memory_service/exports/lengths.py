"""How long replies are before and after the selection: filters that prefer long ones teach a character to ramble. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SHARES = (10, 25, 50, 75, 90)


def quantiles(lengths: NDArray[np.uint32]) -> dict[str, int]:
    """Characters below which 10, 25, 50, 75 and 90 of a hundred replies stay; empty without replies."""
    if not len(lengths):
        return {}
    found = np.percentile(lengths, _SHARES, method="inverted_cdf")
    return {f"p{share}": int(value) for share, value in zip(_SHARES, found, strict=True)}


def shift(before: NDArray[np.uint32], after: NDArray[np.uint32]) -> float:
    """The largest gap between the two cumulative distributions, 0 (the same) to 1 (Kolmogorov and Smirnov's statistic)."""
    if not len(before) or not len(after):
        return 0.0
    at = np.unique(np.concatenate([before, after]))
    below = [np.searchsorted(np.sort(one), at, side="right") / len(one) for one in (before, after)]
    return round(float(np.abs(below[0] - below[1]).max()), 4)


def described(before: NDArray[np.uint32], after: NDArray[np.uint32]) -> dict[str, Any]:
    """What the manifest says of it."""
    return {"before": quantiles(before), "after": quantiles(after), "shift": shift(before, after)}
