"""Does she still have more than one thing to say? All values in [0, 1]."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from persona_training.evaluation.words import ngrams, plain, words

SAME_REPLY = 0.8  # Jaccard similarity of word sets from which two replies are the same joke with another noun


def distinct_bigrams(replies: Sequence[str]) -> list[float]:
    """Per reply: the mean of 1/(occurrences among all replies) over its word pairs; 1 is all new, near 0 a stuck record.

    Averaged over word pairs this is distinct-2 (different pairs / all pairs); split per reply so that it can be resampled
    by prompt. NaN for replies of fewer than two words.
    """
    pairs = [ngrams(words(reply), 2) for reply in replies]
    seen = Counter(pair for reply in pairs for pair in reply)
    return [sum(1 / seen[pair] for pair in reply) / len(reply) if reply else math.nan for reply in pairs]


def repeated_elsewhere(replies: Sequence[Sequence[str]]) -> list[list[float]]:
    """Per prompt and sample: 1.0 when nearly the same reply was given to another prompt, else 0.0.

    Nearly the same: the sets of words overlap by at least 0.8 (Jaccard). Repeats under the same prompt are no fault.
    """
    sets = [[frozenset(plain(reply).split()) for reply in samples] for samples in replies]
    return [
        [float(any(_same(own, other) for j, row in enumerate(sets) if j != i for other in row)) for own in samples]
        for i, samples in enumerate(sets)
    ]


def _same(a: frozenset[str], b: frozenset[str]) -> bool:
    return bool(a) and len(a & b) >= SAME_REPLY * len(a | b)
