"""Which folder a base model's name means, and the hash of its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from persona_training.adapters import read_kept, write_json
from persona_training.errors import BaseModelError, StorageError
from persona_training.hashing import sha256_files, sha256_json
from persona_training.tiny.build import Progress, TinyRecipe, tiny_model


@dataclass(frozen=True)
class BaseModel:
    """A base model on this machine: `name` as manifests record it, `sha256` over all its weight files."""

    name: str
    folder: Path
    sha256: str


def find_base(name: str, data_dir: Path, progress: Progress | None = None) -> BaseModel:
    """Resolve a base model.

    Args:
        name: "tiny" (built on first use), a tiny model's full name, a transformers folder, or a model hub id.
        data_dir: CASIOPY_DATA, where the tiny model and computed hashes are cached.
        progress: called while a tiny model is being built.

    Raises:
        BaseModelError: nothing usable under that name.
    """
    tiny = TinyRecipe()
    if name in ("tiny", tiny.name):
        return _described(tiny.name, tiny_model(data_dir, tiny, progress), data_dir)
    cached = data_dir / "tiny" / name
    folder = Path(name) if Path(name).is_dir() else cached if cached.is_dir() else _from_hub(name)
    return _described(name, folder, data_dir)


def _from_hub(name: str) -> Path:
    """A model hub snapshot: the local cache first, else a download, unless HF_HUB_OFFLINE is set."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = ["*.safetensors", "*.json", "*.model", "*.jinja", "*.txt"]
    try:
        # Mistral's folders hold every weight a second time, in a form that transformers does not read.
        return Path(snapshot_download(name, allow_patterns=patterns, ignore_patterns=["consolidated*"]))
    except HFValidationError as error:
        raise BaseModelError(f"No base model at {name!r}: neither a folder nor a model hub id.") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise BaseModelError(
            f"The base model {name!r} is not on this machine and cannot be downloaded ({type(error).__name__}). "
            "Give --base-model a folder that holds it, check the name and the network, "
            "or use the model that is built here: --base-model tiny."
        ) from error


def _described(name: str, folder: Path, data_dir: Path) -> BaseModel:
    weights = sorted(folder.glob("*.safetensors"))
    if not (folder / "config.json").is_file() or not weights:
        raise BaseModelError(f"{folder} is not a base model: it needs config.json and .safetensors weights.")
    return BaseModel(name=name, folder=folder, sha256=_hash_once(weights, data_dir / "base_hashes.json"))


def _hash_once(weights: list[Path], cache: Path) -> str:
    """Hash the weights, or reuse the hash computed when the files had the same sizes and times (16 GB take a minute)."""
    stamp = sha256_json([(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in weights])
    kept = read_kept(cache)
    known: dict[str, str] = kept if isinstance(kept, dict) else {}
    if stamp not in known:
        known[stamp] = sha256_files(weights)
        try:
            cache.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"Cannot write {cache.parent}: {error.strerror}. Point CASIOPY_DATA elsewhere."
            ) from error
        write_json(cache, known)
    return known[stamp]
