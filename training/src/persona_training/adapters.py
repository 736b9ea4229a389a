"""The adapter folder: its manifest, its chain of parents, and the check that its weights are what the manifest says."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from persona_training.errors import AdapterError, StorageError
from persona_training.hashing import sha256_file

WEIGHTS_FILE = "adapter_model.safetensors"
# Lies in a folder that holds several layers joined into one adapter, instead of a manifest; see `joining`.
JOINED_FILE = "joined.json"
Manifest = dict[str, Any]


def write_json(path: Path, value: object) -> None:
    """Replace a JSON file as `write_text` does."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_kept(path: Path) -> Any:
    """What `write_json` left in a file that can be made anew; None where there is none or it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def write_text(path: Path, text: str) -> None:
    """Replace a file atomically: readers see the old or the new one, never half of either.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        with suppress(OSError):  # on a full disk the half that was written takes room from whoever tries next
            unfinished.unlink(missing_ok=True)
        raise StorageError(f"Cannot write {path}: {error.strerror}. Free some space or choose --output-dir.") from error


def append_whole(path: Path, content: bytes) -> None:
    """Append to a file, whole or not at all: what comes after half a line would be lost with it.

    Raises:
        OSError: the disk is full or the file cannot be written; it ends where it did before.
    """
    # Unbuffered: one write a line, so that lines of two processes do not end up in each other.
    with path.open("ab", buffering=0) as file:
        end = os.fstat(file.fileno()).st_size
        try:
            while content:  # a disk that fills up takes a part without a word; the next attempt says why
                content = content[file.write(content) :]
        except OSError:
            file.truncate(end)
            raise


def read_adapter(folder: Path) -> Manifest:
    """The adapter's manifest.

    Raises:
        AdapterError: there is none, it is not JSON or lacks what every adapter has, or the folder holds a join of several
            layers.
    """
    if (folder / JOINED_FILE).is_file():
        raise AdapterError(_already_joined(folder))
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise AdapterError(f"No adapter in {folder} (manifest.json is missing).") from error
    except OSError as error:
        raise AdapterError(f"Cannot read {path}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise AdapterError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != "casiopy/adapter-v1":
        raise AdapterError(f"{path} is not an adapter manifest (schema casiopy/adapter-v1).")
    _require(path, _damaged(manifest))
    return manifest


def config_of(manifest: Manifest) -> dict[str, Any]:
    """The recipe an adapter was trained with, as its manifest has it; empty where it names none."""
    config: dict[str, Any] = manifest.get("recipe", {}).get("config", {})
    return config


def _damaged(manifest: Manifest) -> Iterator[str]:
    """What whoever uses an adapter relies on, and is not there or of another kind."""
    yield from (name for name in ("adapter_id", "status") if not isinstance(manifest.get(name), str))
    if not isinstance(manifest.get("layer"), int):
        yield "layer"
    if not _holds(manifest.get("base_model"), "name", "sha256"):
        yield "base_model"
    if manifest.get("parent", False) is not None and not _holds(manifest.get("parent"), "adapter_id", "weights_sha256"):
        yield "parent"
    recipe = manifest.get("recipe", {"config": {}})  # a folder of other origin need not name one
    if not isinstance(recipe, dict) or not isinstance(recipe.get("config"), dict):
        yield "recipe"
    if manifest.get("status") == "finished" and not _holds(manifest.get("weights"), "file", "sha256"):
        yield "weights"


def _holds(part: object, *names: str) -> bool:
    return isinstance(part, dict) and all(isinstance(part.get(name), str) for name in names)


def _require(path: Path, damaged: Iterator[str]) -> None:
    if names := ", ".join(damaged):
        raise AdapterError(f"{path} lacks a usable {names}. Restore it from a backup.")


def _already_joined(folder: Path) -> str:
    """Why a join is no layer: trained on, it would be frozen into every later one; joined again, it would count twice."""
    try:
        layers = json.loads((folder / JOINED_FILE).read_text(encoding="utf-8"))["layers"]
        names = ", ".join(layer["adapter_id"] for layer in layers)
    except (OSError, ValueError, KeyError, TypeError):
        names = f"layers that its {JOINED_FILE}, which cannot be read, should name"
    return (
        f"{folder.name} is already a joined adapter, made of {names}. Nothing is trained on or joined with a join: "
        "give those layers, they are joined afresh."
    )


def finished_adapter(folder: Path) -> Manifest:
    """The manifest of an adapter that may be used: finished, its weights unchanged since.

    Raises:
        AdapterError: unfinished, or the weights' hash differs from the manifest's.
    """
    manifest = read_adapter(folder)
    if manifest["status"] != "finished":
        raise AdapterError(
            f"The adapter {manifest['adapter_id']} is {manifest['status']}, not finished. Finish it with --resume."
        )
    check_weights(folder, manifest)
    return manifest


def check_weights(folder: Path, manifest: Manifest) -> None:
    """Compare the weights on disk with the manifest.

    Raises:
        AdapterError: missing or different.
    """
    weights = folder / manifest["weights"]["file"]
    if not weights.is_file():
        raise AdapterError(f"The weights {weights} are gone. Train the adapter again or restore them from a backup.")
    if sha256_file(weights) != manifest["weights"]["sha256"]:
        raise AdapterError(f"The weights {weights} are not those the manifest describes: they changed after training.")


def adapters_in(adapters_dir: Path) -> Iterator[tuple[Path, Manifest]]:
    """Every adapter folder with its manifest, newest first.

    A folder that is no adapter, or whose manifest cannot be read, is passed over with a line on standard error that names
    it: whoever looks for another adapter is not stopped by it. Asked for by name, it is refused by `read_adapter`.
    """
    found = []
    for path in adapters_dir.glob("*/manifest.json"):
        try:
            manifest = read_adapter(path.parent)
            _require(path, _unlisted(manifest))
        except AdapterError as error:
            click.echo(f"Passed over {path.parent}: {error.format_message()}", err=True)
        else:
            found.append((path.parent, manifest))
    yield from sorted(found, key=lambda pair: (pair[1]["created_at"], pair[1]["adapter_id"]), reverse=True)


def _unlisted(manifest: Manifest) -> Iterator[str]:
    """What adapters are sorted and chosen by besides, and is not there."""
    if not isinstance(manifest.get("created_at"), str):
        yield "created_at"
    week = manifest.get("week", False)  # null but in a weekly layer
    if week is not None and not (isinstance(week, dict) and {"year", "number"} <= week.keys()):
        yield "week"


def adapter_chain(folder: Path) -> list[Path]:
    """The folders to stack, parent first: `[layer 1]` or `[layer 1, layer 2]`, each finished and with verified hashes.

    Raises:
        AdapterError: a parent is missing beside the adapter, is another version, or belongs on another base.
    """
    manifest = finished_adapter(folder)
    if manifest["parent"] is None:
        return [folder]
    parent = folder.parent / manifest["parent"]["adapter_id"]
    check_parent(manifest, finished_adapter(parent))
    return [*adapter_chain(parent), folder]


def check_parent(child: Manifest, parent: Manifest) -> None:
    """Refuse to stack an adapter on anything but the exact parent and base it was trained on.

    Raises:
        AdapterError: the hashes differ.
    """
    wanted = child["parent"]
    if wanted is None or wanted["weights_sha256"] != parent["weights"]["sha256"]:
        trained_on = wanted["adapter_id"] if wanted else "the bare base model"
        raise AdapterError(
            f"{child['adapter_id']} was trained on top of {trained_on}, not on these weights of {parent['adapter_id']}."
        )
    check_base(parent, child["base_model"]["sha256"])


def check_base(manifest: Manifest, base_sha256: str) -> None:
    """Refuse to put an adapter on another base model.

    Raises:
        AdapterError: the base's hash differs from the one it was trained on.
    """
    trained_on = manifest["base_model"]
    if trained_on["sha256"] != base_sha256:
        raise AdapterError(
            f"{manifest['adapter_id']} was trained on the base {trained_on['name']} ({trained_on['sha256'][:12]}…), "
            f"not on this one ({base_sha256[:12]}…). Give the same --base-model, or train that layer again on this base."
        )
