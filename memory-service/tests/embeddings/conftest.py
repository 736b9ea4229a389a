"""The default model, loaded once."""

import pytest
from memory_service.embeddings.sentence_transformer import SentenceTransformerEmbedder, load

MINILM = "packaged:all-minilm-l6-v2"


@pytest.fixture(scope="session")
def minilm() -> SentenceTransformerEmbedder:
    """The packaged model."""
    return load(MINILM, 1)
