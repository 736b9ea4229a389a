"""The default model, loaded once by each library that runs it; a small one; and a store to move between models."""

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from memory_service.db import normal_url
from memory_service.embeddings import loading, model_folder, sentence_transformer
from memory_service.embeddings.openvino_model import OpenVinoEmbedder
from memory_service.embeddings.sentence_transformer import SentenceTransformerEmbedder
from memory_service.encryption.store import unlock
from memory_service.settings import Settings
from sqlalchemy.ext.asyncio import create_async_engine

from .moving import Store

MINILM = "packaged:all-minilm-l6-v2"


@pytest.fixture(scope="session")
def minilm() -> OpenVinoEmbedder:
    """The packaged model, as the service runs it."""
    loaded = loading.load(MINILM, 1)
    assert isinstance(loaded, OpenVinoEmbedder)
    return loaded


@pytest.fixture(scope="session")
def exact() -> OpenVinoEmbedder:
    """The packaged model in 32 bits, whatever the processor."""
    loaded = loading.load(MINILM, 1, "f32")
    assert isinstance(loaded, OpenVinoEmbedder)
    return loaded


@pytest.fixture(scope="session")
def reference() -> SentenceTransformerEmbedder:
    """The packaged model, run by the library it was made for."""
    return sentence_transformer.load(MINILM, 1)


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights spread so wide that texts differ much; the packaged model's tokenizer."""
    from transformers import BertConfig, BertModel, set_seed

    packaged = model_folder.local_folder("packaged:all-minilm-l6-v2")
    assert packaged is not None
    folder = tmp_path_factory.mktemp("tiny")
    config = BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=64,
        initializer_range=0.4, layer_norm_eps=1e-5,
    )  # fmt: skip
    set_seed(7)
    BertModel(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "modules.json"):
        shutil.copy(packaged / name, folder)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"word_embedding_dimension": 32}')
    return folder


@pytest.fixture
def own_url(database_url: str, migrated_template: str, copied_database: Callable[[str], str]) -> str:
    """A migrated database of one test's own: models belong to all of a database."""
    return copied_database(
        normal_url(database_url).set(database=migrated_template).render_as_string(hide_password=False)
    )


@pytest.fixture(params=["plain", "encrypted"])
async def store(request: pytest.FixtureRequest, settings: Settings, own_url: str) -> AsyncIterator[Store]:
    key = Fernet.generate_key().decode() if request.param == "encrypted" else None
    changed = settings.model_dump() | {"worker_in_process": True, "encryption_key": key}
    superuser = create_async_engine(own_url)
    async with Store(own_url, Settings(_env_file=None, **changed), superuser) as opened:
        # The service has unlocked the store; this is another process's view of it.
        await unlock(opened.database)
        yield opened
    await superuser.dispose()
