"""What an embedder is: a model that turns texts into vectors whose cosine says how near they are in meaning."""

from collections.abc import Iterator, Sequence, Sized
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Kind = Literal["memory", "question"]
# What a model computes in: "auto" is 16 bits where the processor is faster at that, else 32.
Precision = Literal["auto", "f32"]
# Some of the texts asked for, by their places, and their vectors.
Run = tuple[Sequence[int], Vectors]

# What embedding one text may raise: the libraries underneath report every trouble with a text as one of these.
EMBEDDING_ERRORS = (RuntimeError, ValueError, IndexError, TypeError)

# Padded tokens of one run of a model. Short enough that a question waits for one some 17 ms (all-MiniLM-L6-v2 in bf16, one
# core), long enough to be fast: texts a second on one core in runs of 64, 128, 256, 512 and 1,024 tokens are 390, 430, 470,
# 490 and 495 at 30 words, and 800, 860, 960, 1,000 and 1,020 at 10 words.
RUN_TOKENS = 256


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


@runtime_checkable
class InRuns(Protocol):
    """An embedder that can be interrupted: it embeds many texts in short runs."""

    @property
    def engine(self) -> str:
        """Which library runs the model and, where it is not the usual one, why."""

    def runs(self, texts: Sequence[str], kind: Kind) -> Iterator[Run]:
        """The vectors of `texts`, some at a time or none, every text once; each step is short.

        Raises:
            EMBEDDING_ERRORS: a text could not be embedded.
        """


class EmbedderUnavailable(Exception):
    """The model cannot be had; the message says why, and which setting to change."""


class EmbedderNotReady(Exception):
    """No vectors now; the message says why (the model is still loading, or it failed to load)."""


def batches(lengths: Sequence[int], most_tokens: int = RUN_TOKENS) -> Iterator[list[int]]:
    """Places of texts to embed together: of like length, so that little is padding.

    Args:
        lengths: tokens of each text.
        most_tokens: of the longest text times the texts in a batch; a longer text is a batch of its own.
    """
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and lengths[place] * (len(batch) + 1) > most_tokens:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def gathered(runs: Iterator[Run], texts: Sequence[str], dimension: int) -> Vectors:
    """All vectors of `runs`, one row per text."""
    vectors = np.empty((len(texts), dimension), np.float32)
    for places, made in runs:
        vectors[places] = made
    return vectors


def checked(vectors: Vectors, texts: Sized, dimension: int) -> Vectors:
    """`vectors`, when they are what an embedder promises.

    Raises:
        ValueError: wrong shape, or numbers that are not finite.
    """
    if vectors.shape != (len(texts), dimension):
        raise ValueError(f"expected {len(texts)} vectors of length {dimension}, the model made {vectors.shape}")
    if not np.isfinite(vectors).all():
        raise ValueError("the model made a vector that is not finite")
    return vectors
