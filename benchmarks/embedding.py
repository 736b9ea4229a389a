"""The service's own embedding model in this process, for the dense baseline and for timing what embedding alone costs."""

import os
from collections.abc import Sequence
from functools import partial

import numpy as np
from memory_service.embeddings.embedder import Kind, Vectors
from memory_service.embeddings.loading import load
from numpy.typing import NDArray
from recall_baselines import Embed

# As the service does it (its EMBEDDING_THREADS), so that both take the same share of a busy machine.
_THREADS = 1
_DEFAULT_MODEL = "packaged:all-minilm-l6-v2"
_PART = 32


def embedders(model: str | None = None) -> tuple[Embed, Embed]:
    """Embeds texts, embeds questions; `model` as EMBEDDING_MODEL names it, by default the one this environment sets."""
    loaded = load(model or os.environ.get("EMBEDDING_MODEL") or _DEFAULT_MODEL, _THREADS)

    def embed(kind: Kind, texts: Sequence[str]) -> Vectors:
        parts = [loaded.embed(texts[start : start + _PART], kind) for start in range(0, len(texts), _PART)]
        made: NDArray[np.float32] = np.concatenate(parts)
        return made

    return partial(embed, "memory"), partial(embed, "question")
