"""The default model, loaded once by each library that runs it."""

import pytest
from memory_service.embeddings import loading, sentence_transformer
from memory_service.embeddings.onnx_model import OnnxEmbedder
from memory_service.embeddings.sentence_transformer import SentenceTransformerEmbedder

MINILM = "packaged:all-minilm-l6-v2"


@pytest.fixture(scope="session")
def minilm() -> OnnxEmbedder:
    """The packaged model, as the service runs it."""
    loaded = loading.load(MINILM, 1)
    assert isinstance(loaded, OnnxEmbedder)
    return loaded


@pytest.fixture(scope="session")
def reference() -> SentenceTransformerEmbedder:
    """The packaged model, run by the library it was made for."""
    return sentence_transformer.load(MINILM, 1)
