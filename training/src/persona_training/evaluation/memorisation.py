"""How much of a reply is lifted from the training replies."""

from __future__ import annotations

import math
from collections.abc import Iterable

from persona_training.evaluation.words import ngrams, without_stage_directions, words

N = 4


def phrases(texts: Iterable[str]) -> frozenset[tuple[str, ...]]:
    """Every run of four spoken words in the texts. Stage directions are formulae, not memories, and are left out."""
    return frozenset(gram for text in texts for gram in ngrams(words(without_stage_directions(text)), N))


def lifted_share(reply: str, known: frozenset[tuple[str, ...]]) -> float:
    """Share of the reply's four-word runs that stand in the training replies, in [0, 1]; NaN when there is none to check."""
    own = ngrams(words(without_stage_directions(reply)), N)
    if not own or not known:
        return math.nan
    return sum(gram in known for gram in own) / len(own)
