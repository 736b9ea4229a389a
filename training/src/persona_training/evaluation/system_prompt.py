"""Layer 0: which system prompt a character is judged and served with, and where it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from persona_training.adapters import Manifest, config_of
from persona_training.datasets import Dataset, load_dataset
from persona_training.errors import DatasetError, PersonaTrainingError
from persona_training.evaluation.service import MemoryService


class SystemPromptError(PersonaTrainingError):
    """No system prompt can be had; the message says how to give one."""


@dataclass(frozen=True)
class SystemPrompt:
    """The text and a sentence on its origin, printed and recorded."""

    text: str
    origin: str


def datasets_of(manifests: Sequence[Manifest], exports_dir: Path) -> tuple[list[Dataset], list[str]]:
    """The exports the adapters learned from that are still here, and one sentence per export that is not."""
    found: list[Dataset] = []
    missing: list[str] = []
    for manifest in manifests:
        export_id = manifest["dataset"]["export_id"]
        if export_id is None:
            missing.append(
                f"{manifest['adapter_id']} was trained on loose files, so its training replies are not compared."
            )
            continue
        try:
            found.append(load_dataset([export_id], exports_dir))
        except DatasetError as error:
            missing.append(f"The training replies of {manifest['adapter_id']} are not compared: {error.message}")
    return found, missing


def trained_without(manifest: Manifest | None) -> bool:
    """Does the adapter's recipe train without a system prompt, so that she is to be served without one?"""
    return manifest is not None and config_of(manifest).get("system_prompt") == "omit"


def choose_system_prompt(
    service: MemoryService, manifest: Manifest | None, datasets: Sequence[Dataset], given: Path | None = None
) -> SystemPrompt:
    """The prompt to use: a given file, else none where the adapter was trained without one, else core memory from the
    service, else the prompt of the dataset the adapter learned from.

    Raises:
        SystemPromptError: the file cannot be read, or there is nothing to choose from.
    """
    if given is not None:
        try:
            return SystemPrompt(given.read_text(encoding="utf-8").strip(), f"the file {given}")
        except (OSError, UnicodeDecodeError) as error:
            raise SystemPromptError(f"The system prompt {given} cannot be read: {error}") from error
    if trained_without(manifest):
        return SystemPrompt("", "none: this adapter's recipe trains without a system prompt (system_prompt: omit)")
    current = service.system_prompt()
    if current is not None:
        return SystemPrompt(current, f"core memory, from the memory service at {service.url}")
    for dataset in datasets:
        for row in dataset.train:
            if row.messages[0]["role"] == "system":
                return SystemPrompt(
                    row.messages[0]["content"],
                    f"the dataset {dataset.name}, because the memory service at {service.url} does not answer",
                )
    raise SystemPromptError(
        f"No system prompt: the memory service at {service.url} does not answer and no dataset carries one. "
        "Start the service (`casiopy serve`) or give a file with --system-prompt."
    )
