"""What one exchange says, in 16 and in 128 bytes: enough to find it again word for word, and nearly. Pure.

The 128 bytes are a MinHash signature (Broder 1997) of the 5-letter grams, the lowest 8 bits of each of its values: b-bit
minwise hashing (Li and König 2010, arXiv 0910.3349) estimates the same similarity from a quarter of the memory.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

from memory_service.scoring.text import grams_once, words

SKETCH_BYTES = 128
GRAM = 5


def said(*texts: str) -> bytes:
    """16 bytes that are the same for the same words, whatever their case, accents and punctuation."""
    return hashlib.sha256("\n".join(" ".join(words(text)) for text in texts).encode()).digest()[:16]


def sketch(*texts: str) -> bytes:
    """The b-bit signature of the texts together."""
    import numpy as np

    signature = _blank().copy()
    signature.update_batch([gram.encode() for gram in sorted(grams_once("\n".join(texts), GRAM))])
    return bytes(signature.hashvalues.astype(np.uint8).tobytes())


@cache
def _blank() -> Any:
    """An empty signature; copying it is twice as fast as drawing its permutations anew (155 against 354 µs an exchange)."""
    from datasketch import MinHash

    return MinHash(num_perm=SKETCH_BYTES, seed=1)
