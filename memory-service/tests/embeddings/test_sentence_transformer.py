"""Models that sentence-transformers itself runs."""

from collections.abc import Sequence

import pytest
from memory_service.embeddings import sentence_transformer
from memory_service.embeddings.embedder import EmbedderUnavailable
from memory_service.embeddings.sentence_transformer import SentenceTransformerEmbedder


class Model:
    """Remembers what it was asked."""

    max_seq_length = 64
    default_prompt_name = None

    def __init__(self, prompts: dict[str, str] | None = None) -> None:
        self.prompts = prompts or {"query": "", "document": ""}
        self.asked: list[tuple[list[str], str | None]] = []

    def get_embedding_dimension(self) -> int:
        return 2

    def encode(self, texts: Sequence[str], *, prompt: str | None, **_: object) -> list[list[float]]:
        self.asked.append((list(texts), prompt))
        return [[0.0, 1.0] for _ in texts]


def test_e5_models_get_the_words_they_were_trained_with() -> None:
    model = Model()
    e5 = SentenceTransformerEmbedder("intfloat/multilingual-e5-small", "", model)
    e5.embed(["¿y?"], "question")
    e5.embed(["¿y?"], "memory")
    assert [prompt for _, prompt in model.asked] == ["query: ", "passage: "]


def test_declared_words_go_before_the_texts() -> None:
    model = Model({"query": "Find: ", "document": ""})
    declared = SentenceTransformerEmbedder("some/model", "", model)
    declared.embed(["¿y?"], "question")
    declared.embed(["¿y?"], "memory")
    assert [prompt for _, prompt in model.asked] == ["Find: ", None]


def test_many_texts_are_embedded_in_short_runs() -> None:
    model = Model()
    SentenceTransformerEmbedder("m", "", model).embed(["largo " * 100, *["corto"] * 40, "largo " * 100], "memory")
    assert [len(texts) for texts, _ in model.asked] == [40, 2]


def test_the_reason_is_told_and_the_missing_library_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sentence_transformers", None)
    with pytest.raises(EmbedderUnavailable, match=r"its pooling is max.*not installed.*\[models\]"):
        sentence_transformer.load("some/model", 1, "its pooling is max")
