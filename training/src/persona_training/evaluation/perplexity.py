"""How surprised is a model by texts that it should find likely? In nats per token; perplexity is e to that.

Nats are compared, not perplexities: a difference of 0.1 nats is 10 % of perplexity whatever the level, and means of
logarithms are not ruled by one odd text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def losses(measured: Sequence[float] | None, texts: int) -> NDArray[np.float64]:
    """Nats per token as a column, one row per text; all NaN where the serving path cannot tell.

    Raises:
        ValueError: there are not as many losses as texts.
    """
    if measured is None:
        return np.full((texts, 1), np.nan)
    if len(measured) != texts:
        raise ValueError(f"{len(measured)} losses for {texts} texts: they were taken with another battery.")
    return np.array(measured, dtype=np.float64).reshape(-1, 1)
