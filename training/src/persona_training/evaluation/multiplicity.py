"""Many comparisons, one false alarm: p-values that may be read together."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment, in the order given, each in [0, 1].

    Rejecting what stays below alpha keeps the chance of even one false rejection below alpha, however the comparisons hang
    together (Holm 1979, A simple sequentially rejective multiple test procedure).
    """
    adjusted = [0.0] * len(p_values)
    worst = 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = worst
    return adjusted
