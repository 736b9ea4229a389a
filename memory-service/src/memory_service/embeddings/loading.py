"""Which library runs the model that EMBEDDING_MODEL names. Importing this module imports none of them."""

import importlib.util
import logging
import time
from typing import TYPE_CHECKING

from memory_service.embeddings import sentence_transformer
from memory_service.embeddings.model_folder import INSTALL, ModelFolder, find
from memory_service.embeddings.sentence_config import NotUnderstood

if TYPE_CHECKING:
    from memory_service.embeddings.onnx_model import OnnxEmbedder

log = logging.getLogger(__name__)

_ONNX_LIBRARIES = ("onnxruntime", "onnx", "tokenizers", "safetensors")


def load(setting: str, threads: int) -> "OnnxEmbedder | sentence_transformer.SentenceTransformerEmbedder":
    """Load the model EMBEDDING_MODEL names, on ONNX Runtime if that can be. Call it in the thread that will embed.

    Args:
        setting: `packaged:…`, a folder, or a model name on the hub.
        threads: CPU threads it may use.

    Raises:
        EmbedderUnavailable: the message says why and what to do.
    """
    started = time.monotonic()
    folder = find(setting)
    embedder: OnnxEmbedder | sentence_transformer.SentenceTransformerEmbedder
    try:
        embedder = _on_onnx_runtime(folder, threads)
    except NotUnderstood as reason:
        embedder = sentence_transformer.load(setting, threads, str(reason))
    log.info(
        "Embedding model %s (revision %s, %d dimensions, %d threads) loaded in %.1f s on %s",
        setting, embedder.revision, embedder.dimension, threads, time.monotonic() - started, embedder.engine,
    )  # fmt: skip
    return embedder


def _on_onnx_runtime(folder: ModelFolder | None, threads: int) -> "OnnxEmbedder":
    """The model on ONNX Runtime.

    Raises:
        NotUnderstood: it does not run there; the message says why.
    """
    if folder is None:
        raise NotUnderstood("the hub's client has not fetched it yet; the next start looks again")
    missing = [library for library in _ONNX_LIBRARIES if importlib.util.find_spec(library) is None]
    if missing:
        raise NotUnderstood(f"{', '.join(missing)} is not installed. {INSTALL}")
    from memory_service.embeddings.onnx_model import load as load_onnx

    return load_onnx(folder, threads)
