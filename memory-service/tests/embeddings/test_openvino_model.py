"""OpenVINO makes the vectors that sentence-transformers makes, whatever the texts and however many at once."""

import random
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory_service.embeddings import openvino_model
from memory_service.embeddings.embedder import RUN_TOKENS, Kind, batches
from memory_service.embeddings.openvino_model import OpenVinoEmbedder
from memory_service.embeddings.sentence_transformer import SentenceTransformerEmbedder

TEXTS = [
    "",
    " ",
    "\n\t",
    "a",
    "¿Qué tal? 🐱🐱",
    "I have a cat",
    "El perro de Ana ladra cuando llaman a la puerta, ñandú ÑANDÚ.",
    "日本語のテキストと한국어",
    "x" * 5_000,
    "palabra " * 900,
    "The borrow checker hates me, and I hate it back. " * 4,
    "e\u0301 decomposed, é composed, \u200bzero width, \x00 nothing, \ufffd",
]


def nearness(embedder: OpenVinoEmbedder, other: SentenceTransformerEmbedder, texts: Sequence[str]) -> np.ndarray:
    """Cosine of each text's two vectors."""
    return np.sum(embedder.embed(texts, "memory") * other.embed(texts, "memory"), axis=1)


@pytest.mark.parametrize("size", [1, 2, 5, len(TEXTS), 3 * len(TEXTS)])
def test_the_vectors_are_those_of_sentence_transformers(
    minilm: OpenVinoEmbedder, exact: OpenVinoEmbedder, reference: SentenceTransformerEmbedder, size: int
) -> None:
    texts = (TEXTS * 3)[:size] if size > len(TEXTS) else random.Random(size).sample(TEXTS, size)
    assert nearness(exact, reference, texts).min() >= 0.99999
    assert nearness(minilm, reference, texts).min() >= 0.9995


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=300), min_size=1, max_size=6))
def test_any_texts_have_the_same_vectors_in_both(
    minilm: OpenVinoEmbedder, exact: OpenVinoEmbedder, reference: SentenceTransformerEmbedder, texts: list[str]
) -> None:
    assert nearness(exact, reference, texts).min() >= 0.99999
    assert nearness(minilm, reference, texts).min() >= 0.9995


def test_stores_made_before_go_on(minilm: OpenVinoEmbedder, reference: SentenceTransformerEmbedder) -> None:
    assert (minilm.name, minilm.dimension) == (reference.name, reference.dimension)
    assert minilm.revision == reference.revision == "b5c9b60c7a7a67a1"  # as stored by the first release


def test_the_packaged_model_makes_vectors_of_length_one(minilm: OpenVinoEmbedder) -> None:
    vectors = minilm.embed(["I have a cat", "Do I own a pet?", "The borrow checker hates me", ""], "memory")
    assert (vectors.dtype, vectors.shape) == (np.float32, (4, 384))
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_the_same_text_has_the_same_vector(minilm: OpenVinoEmbedder, exact: OpenVinoEmbedder) -> None:
    for embedder, apart in ((exact, 1e-5), (minilm, 2e-3)):
        alone, beside = (
            embedder.embed(["un gato"], "question"),
            embedder.embed(["otra cosa " * 40, "un gato"], "memory"),
        )
        assert alone[0] == pytest.approx(beside[1], abs=apart)


def test_several_embed_at_once_and_nobody_is_refused(exact: OpenVinoEmbedder) -> None:
    rng = random.Random(5)
    asked = [[" ".join(["gato"] * rng.randint(1, 40)) for _ in range(rng.randint(1, 40))] for _ in range(6)]
    alone = [exact.embed(texts, "memory") for texts in asked]
    with ThreadPoolExecutor(len(asked)) as threads:
        for _ in range(5):
            together = threads.map(lambda texts: exact.embed(texts, "memory"), asked)
            for made, expected in zip(together, alone, strict=True):
                assert np.allclose(made, expected, atol=1e-5)


def test_who_goes_before_the_end_leaves_the_others_alone(exact: OpenVinoEmbedder) -> None:
    texts = [" ".join(["gato"] * number) for number in range(1, 60)]
    expected = exact.embed(texts, "memory")
    gone = exact.runs(texts, "memory")
    next(gone)
    staying = exact.runs(texts, "memory")
    places, vectors = next(staying)
    gone.close()
    for some, made in [(places, vectors), *staying]:
        assert np.allclose(made, expected[list(some)], atol=1e-5)
    assert np.allclose(exact.embed(texts, "memory"), expected, atol=1e-5)


def test_the_engine_says_what_it_computes_in(minilm: OpenVinoEmbedder, exact: OpenVinoEmbedder) -> None:
    assert re.fullmatch(r"OpenVINO \d+\.\d+\.\d+, (f32|bf16|f16)", minilm.engine)
    assert exact.engine.endswith(", f32")


def test_no_texts_are_no_vectors(minilm: OpenVinoEmbedder) -> None:
    assert minilm.embed([], "memory").shape == (0, 384)


@pytest.mark.parametrize("kind", ["memory", "question"])
def test_what_cannot_be_a_text_is_refused(minilm: OpenVinoEmbedder, kind: Kind) -> None:
    with pytest.raises((TypeError, ValueError)):
        minilm.embed(["half a pair: \ud83d"], kind)


@given(st.lists(st.integers(2, 512), max_size=80), st.integers(2, 600))
def test_batches_hold_every_text_once_and_keep_within_their_tokens(lengths: list[int], most: int) -> None:
    made = list(batches(lengths, most))
    assert sorted(place for batch in made for place in batch) == list(range(len(lengths)))
    for batch in made:
        assert len(batch) == 1 or max(lengths[place] for place in batch) * len(batch) <= most
    longest = [max(lengths[place] for place in batch) for batch in made]
    assert longest == sorted(longest)


def test_many_texts_are_embedded_in_short_runs(minilm: OpenVinoEmbedder) -> None:
    texts = [" ".join(["gato"] * (1 + place % 40)) for place in range(100)]
    places = [list(places) for places, _ in minilm.runs(texts, "memory")]
    assert sorted(place for run in places for place in run) == list(range(100))
    assert max(len(run) for run in places) > 8
    assert all(max(place % 40 for place in run) * len(run) <= RUN_TOKENS for run in places)


class Listening:
    """A tokenizer that knows how many characters it was given at each call."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.given: list[list[int]] = []

    def encode_batch_fast(self, texts: Sequence[str]) -> Any:
        self.given.append([len(text) for text in texts])
        return self._tokenizer.encode_batch_fast(texts)


def test_long_texts_are_tokenized_in_short_steps(exact: OpenVinoEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [*["palabra " * 40] * 7, "gato " * 200, "", " " * 700, *["a cat"] * 5]
    expected = exact.embed(texts, "memory")
    listening = Listening(exact._tokenizer)
    monkeypatch.setattr(exact, "_tokenizer", listening)
    monkeypatch.setattr(openvino_model, "_CHARACTERS", 700)
    steps = []
    for places, vectors in exact.runs(texts, "memory"):
        steps.append((len(listening.given), len(places)))
        assert np.allclose(vectors, expected[list(places)], atol=1e-5)
    assert [length for given in listening.given for length in given] == [len(text) for text in texts]
    assert all(sum(given) <= 700 or len(given) == 1 for given in listening.given)
    portions = len(listening.given)
    assert portions > 3
    # After each portion but the last, whoever asks has a turn.
    assert steps[: portions - 1] == [(number, 0) for number in range(1, portions)]
    assert sum(embedded for _, embedded in steps) == len(texts)
    assert np.allclose(exact.embed(texts, "memory"), expected, atol=1e-5)
