"""Which library runs the model that EMBEDDING_MODEL names. Importing this module imports none of them."""

import importlib.util
import logging
import time
from typing import TYPE_CHECKING

from memory_service.embeddings import sentence_transformer
from memory_service.embeddings.embedder import Precision
from memory_service.embeddings.model_folder import INSTALL, ModelFolder, find
from memory_service.embeddings.sentence_config import NotUnderstood

if TYPE_CHECKING:
    from memory_service.embeddings.openvino_model import OpenVinoEmbedder

log = logging.getLogger(__name__)

_LIBRARIES = ("openvino", "tokenizers", "safetensors")


def load(
    setting: str, threads: int, precision: Precision = "auto"
) -> "OpenVinoEmbedder | sentence_transformer.SentenceTransformerEmbedder":
    """Load the model EMBEDDING_MODEL names, on OpenVINO if that can be. Call it in the thread that will embed.

    Args:
        setting: `packaged:…`, a folder, or a model name on the hub.
        threads: CPU threads it may use.
        precision: what OpenVINO computes in; "auto" leaves the choice to it, and the log says what it chose.

    Raises:
        EmbedderUnavailable: the message says why and what to do.
    """
    started = time.monotonic()
    folder = find(setting)
    embedder: OpenVinoEmbedder | sentence_transformer.SentenceTransformerEmbedder
    try:
        embedder = _on_openvino(folder, threads, precision)
    except NotUnderstood as reason:
        embedder = sentence_transformer.load(setting, threads, str(reason))
    log.info(
        "Embedding model %s (revision %s, %d dimensions, %d threads) loaded in %.1f s on %s",
        setting, embedder.revision, embedder.dimension, threads, time.monotonic() - started, embedder.engine,
    )  # fmt: skip
    return embedder


def _on_openvino(folder: ModelFolder | None, threads: int, precision: Precision) -> "OpenVinoEmbedder":
    """The model on OpenVINO.

    Raises:
        NotUnderstood: it does not run there; the message says why.
    """
    if folder is None:
        raise NotUnderstood("the hub's client has not fetched it yet; the next start looks again")
    missing = [library for library in _LIBRARIES if importlib.util.find_spec(library) is None]
    if missing:
        raise NotUnderstood(f"{', '.join(missing)} is not installed. {INSTALL}")
    from memory_service.embeddings.openvino_model import load as load_there

    return load_there(folder, threads, precision)
