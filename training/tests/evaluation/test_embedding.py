"""The packaged sentence model: unit vectors that bring alike texts together, and a reason where it cannot be had."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from persona_training.evaluation import embedding
from persona_training.evaluation.embedding import DISTRIBUTION, find_embedding

TEXTS = ("The cat sleeps on the keyboard.", "A kitten is napping on the computer.", "Interest rates rose again.")


def test_vectors() -> None:
    embed = find_embedding()
    assert embed is not None
    vectors = embed([*TEXTS, TEXTS[0]])
    assert vectors.shape == (4, 384)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    cosines = vectors @ vectors.T
    assert cosines[0, 1] > cosines[0, 2] + 0.2
    assert np.array_equal(vectors[0], vectors[3])
    alone = find_embedding()
    assert alone is not None
    assert alone([TEXTS[2]])[0] == pytest.approx(vectors[2], abs=1e-5)  # neighbours in a batch change nothing


def test_without_the_package_there_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(embedding, "PACKAGE", "no_such_sentence_model")
    assert importlib.util.find_spec("no_such_sentence_model") is None
    assert find_embedding(told.append) is None
    assert len(told) == 1
    assert DISTRIBUTION in told[0]
