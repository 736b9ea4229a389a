"""`casiopy doctor`: can this machine train, and what to do where it cannot."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from packaging.requirements import Requirement

from persona_training.settings import Settings

MIN_PYTHON = (3, 11)
# The tiny base, its checkpoints and a merged copy take about 60 MB; an 8B base with one merged copy about 35 GB.
MIN_FREE_BYTES = 1 << 30
BIG_MODEL_BYTES = 40 << 30
# 8B parameters in bfloat16 are 16 GB; LoRA, activations and optimiser fit in 24 with checkpointing.
BIG_MODEL_VRAM_BYTES = 23 << 30


@dataclass(frozen=True)
class Check:
    """One finding. `level` is "ok", "note" (works, with a limit) or "fail"."""

    name: str
    level: str
    found: str
    remedy: str = ""


def checks(settings: Settings) -> Iterator[Check]:
    """Every check in turn; none of them changes anything."""
    yield check_python(sys.version_info[:2])
    yield from check_packages(importlib.metadata.requires("casiopy-training") or [])
    yield check_gpu()
    for name, folder in (("data folder", settings.data_dir), ("adapters folder", settings.adapters_dir)):
        yield check_folder(name, folder)


def check_python(version: tuple[int, int]) -> Check:
    """Python's version."""
    found = ".".join(map(str, version))
    if version >= MIN_PYTHON:
        return Check("python", "ok", found)
    return Check(
        "python", "fail", found, f"Install Python {'.'.join(map(str, MIN_PYTHON))} or newer and run setup again."
    )


def check_packages(requirements: list[str]) -> Iterator[Check]:
    """Every library this package declares: present, and in the range that was tried."""
    for requirement in map(Requirement, requirements):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            yield Check(requirement.name, "fail", "missing", f'pip install "{requirement.name}{requirement.specifier}"')
            continue
        if requirement.specifier.contains(version, prereleases=True):
            yield Check(requirement.name, "ok", version)
        else:
            remedy = f'pip install "{requirement.name}{requirement.specifier}"'
            yield Check(requirement.name, "fail", f"{version}, but {requirement.specifier} was tried", remedy)


def check_gpu() -> Check:
    """CUDA as torch sees it: device, driver side and memory."""
    import torch

    if torch.version.cuda is None:
        return Check(
            "gpu",
            "note",
            f"torch {torch.__version__} is a CPU build",
            "Enough for the tiny model. For an 8B model install torch with CUDA (see training/README.md).",
        )
    if not torch.cuda.is_available():
        return Check(
            "gpu",
            "note",
            f"torch has CUDA {torch.version.cuda}, but sees no usable GPU",
            "Run nvidia-smi. If it lists no GPU, install the NVIDIA driver; if its CUDA version is lower, update it.",
        )
    name, total = torch.cuda.get_device_name(0), torch.cuda.get_device_properties(0).total_memory
    found = f"{name}, {total / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
    if total < BIG_MODEL_VRAM_BYTES:
        return Check("gpu", "note", found, "Too little for an 8B model in bfloat16 (24 GB): use a smaller base model.")
    return Check("gpu", "ok", found)


def check_folder(name: str, folder: Path) -> Check:
    """A folder that must be writable, and its free space."""
    place = folder
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not _writable(place):
        return Check(
            name, "fail", f"{folder} cannot be written", "Fix its permissions, or point the setting elsewhere."
        )
    free = shutil.disk_usage(place).free
    found = f"{folder}, {free / 2**30:.0f} GiB free"
    if free < MIN_FREE_BYTES:
        return Check(name, "fail", found, "Free at least 1 GiB.")
    if free < BIG_MODEL_BYTES:
        return Check(name, "note", found, "Enough for the tiny model; an 8B model with a merged copy needs 40 GiB.")
    return Check(name, "ok", found)


def _writable(folder: Path) -> bool:
    import tempfile

    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@click.command()
def doctor() -> None:
    """Check Python, libraries, GPU and disk; each failure comes with its remedy. Exit code 1 if something fails."""
    from rich.console import Console
    from rich.table import Table

    marks = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "fail": "[red]fail[/]"}
    table = Table("", "check", "found", "what to do", box=None, pad_edge=False)
    found = list(checks(Settings.from_env()))
    for check in found:
        table.add_row(marks[check.level], check.name, check.found, check.remedy)
    Console(highlight=False).print(table)
    failed = sum(check.level == "fail" for check in found)
    click.echo("Ready to train." if not failed else f"{failed} to fix before training.")
    if failed:
        raise click.exceptions.Exit(1)
