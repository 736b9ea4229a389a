"""Embedders of the sentence-transformers library. Importing this module imports neither it nor torch."""

import importlib.metadata
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from memory_service.embeddings.embedder import EmbedderUnavailable, Kind, Run, Vectors, batches, checked, gathered
from memory_service.embeddings.model_folder import INSTALL_MODELS, fingerprint, local_folder
from memory_service.embeddings.sentence_config import declared_prompts

# Bytes of UTF-8 per token, to size runs without asking the model: 4 in English, 2 to 3 in Spanish, 3 in Chinese.
_BYTES_PER_TOKEN = 3
# Tokens read of a text, where the library does not say.
_WINDOW = 512


class SentenceTransformerEmbedder:
    """A sentence-transformers model on the CPU.

    Attributes:
        engine: the library, and why it runs this model.
    """

    def __init__(self, name: str, revision: str, model: Any, reason: str = "") -> None:
        self.name = name
        self.revision = revision
        self.dimension = int(model.get_embedding_dimension())
        library = f"sentence-transformers {importlib.metadata.version('sentence-transformers')}"
        self.engine = f"{library}, not OpenVINO: {reason}" if reason else library
        self._model = model
        self._window = int(getattr(model, "max_seq_length", None) or _WINDOW)
        self._prompts = declared_prompts(model.prompts, getattr(model, "default_prompt_name", None), name)

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """One row of length 1 per text; what exceeds the model's window is left out."""
        return gathered(self.runs(texts, kind), texts, self.dimension)

    def runs(self, texts: Sequence[str], kind: Kind) -> Iterator[Run]:
        """The vectors of `texts`, some at a time, the shortest texts first."""
        lengths = [min(self._window, 2 + len(text.encode(errors="replace")) // _BYTES_PER_TOKEN) for text in texts]
        for places in batches(lengths):
            vectors = self._model.encode(
                [texts[place] for place in places],
                prompt=self._prompts[kind] or None, normalize_embeddings=True, show_progress_bar=False,
            )  # fmt: skip
            yield places, checked(np.asarray(vectors, dtype=np.float32), places, self.dimension)


def load(setting: str, threads: int, reason: str = "") -> SentenceTransformerEmbedder:
    """Load the model EMBEDDING_MODEL names; takes seconds. Call it in the thread that will embed.

    Args:
        setting: `packaged:…`, a folder, or a model name on the hub.
        threads: CPU threads torch may use.
        reason: why this library runs the model.

    Raises:
        EmbedderUnavailable: the message says why and what to do.
    """
    folder = local_folder(setting)
    if folder is not None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing to look up: the model is here
    try:
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar
    except ImportError as error:
        because = f"OpenVINO does not run it ({reason}), and " if reason else ""
        raise EmbedderUnavailable(
            f"EMBEDDING_MODEL={setting}: {because}sentence-transformers is not installed ({error}). {INSTALL_MODELS}."
        ) from error
    torch.set_num_threads(threads)
    disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model = SentenceTransformer(str(folder or setting), device="cpu", local_files_only=folder is not None)
    except (OSError, ValueError, RuntimeError) as error:
        raise EmbedderUnavailable(_not_loaded(setting, folder, error)) from error
    revision = fingerprint(folder) if folder is not None else _hub_revision(model)
    return SentenceTransformerEmbedder(setting, revision, model, reason)


def _not_loaded(setting: str, folder: Path | None, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if folder is not None:
        return f"EMBEDDING_MODEL={setting}: {folder} holds no model sentence-transformers can load ({reason})."
    return (
        f"EMBEDDING_MODEL={setting} could not be fetched from the model hub or its local cache ({reason}). Check the name "
        "and the network, name a folder that holds the model, or set EMBEDDING_MODEL=packaged:all-minilm-l6-v2, which "
        "needs no network."
    )


def _hub_revision(model: Any) -> str:
    """The hub's commit of a downloaded model; empty when the library does not say."""
    configuration = getattr(getattr(model[0], "auto_model", None), "config", None)
    return str(getattr(configuration, "_commit_hash", None) or "")
