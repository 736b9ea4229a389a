"""What an embedder is: a model that turns texts into vectors whose cosine says how near they are in meaning."""

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Kind = Literal["memory", "question"]

# What embedding one text may raise: the libraries underneath report every trouble with a text as one of these.
EMBEDDING_ERRORS = (RuntimeError, ValueError, IndexError, TypeError)


class Embedder(Protocol):
    """A loaded model. Its methods block: call them from a thread of their own."""

    @property
    def name(self) -> str:
        """The model as EMBEDDING_MODEL names it."""

    @property
    def revision(self) -> str:
        """Which weights exactly; two models of one revision make the same vectors."""

    @property
    def dimension(self) -> int:
        """Length of its vectors."""

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """One row of length 1 per text. Some models treat a stored memory and a question about it differently.

        Raises:
            EMBEDDING_ERRORS: a text could not be embedded.
        """


class EmbedderUnavailable(Exception):
    """The model cannot be had; the message says why, and which setting to change."""


class EmbedderNotReady(Exception):
    """No vectors now; the message says why (the model is still loading, or it failed to load)."""


def checked(vectors: Vectors, texts: Sequence[str], dimension: int) -> Vectors:
    """`vectors`, when they are what an embedder promises.

    Raises:
        ValueError: wrong shape, or numbers that are not finite.
    """
    if vectors.shape != (len(texts), dimension):
        raise ValueError(f"expected {len(texts)} vectors of length {dimension}, the model made {vectors.shape}")
    if not np.isfinite(vectors).all():
        raise ValueError("the model made a vector that is not finite")
    return vectors
