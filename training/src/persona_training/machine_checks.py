"""What `casiopy doctor` asks of the machine: Python, driver, GPU, disk and permissions."""

from __future__ import annotations

import shutil
from pathlib import Path

from persona_training.findings import Check
from persona_training.pin_checks import TORCH
from persona_training.torch_choice import CannotChooseError, Driver, choose, read_driver

MIN_PYTHON = (3, 11)
# The tiny base, its checkpoints and a merged copy take about 60 MB; an 8B base with one merged copy about 35 GB.
MIN_FREE_BYTES = 1 << 30
BIG_MODEL_BYTES = 40 << 30
# 8B parameters in bfloat16 are 16 GB; LoRA, activations and optimiser fit in 24 with checkpointing.
BIG_MODEL_VRAM_BYTES = 23 << 30


def check_python(version: tuple[int, int]) -> Check:
    """Python's version."""
    found = ".".join(map(str, version))
    if version >= MIN_PYTHON:
        return Check("python", "ok", found)
    wanted = ".".join(map(str, MIN_PYTHON))
    return Check("python", "fail", found, f"Install Python {wanted} or newer and run setup again.")


def check_driver() -> Check:
    """The NVIDIA driver and the newest CUDA it runs; torch needs neither on a machine without such a card."""
    try:
        driver = read_driver()
    except CannotChooseError as error:
        return Check("driver", "fail", str(error), "Nothing can use the GPU until nvidia-smi works again.")
    if driver is None:
        return Check("driver", "note", "no NVIDIA driver (nvidia-smi) here", "Enough for the tiny model, on the CPU.")
    cuda = ".".join(map(str, driver.cuda))
    return Check("driver", "ok", f"{driver.version}, runs CUDA up to {cuda}")


def check_torch_build(built_for: str | None, version: str, platform: str) -> Check:
    """Torch's CUDA against the driver's: a driver runs every build of its CUDA generation and of older ones.

    Args:
        built_for: `torch.version.cuda`, such as "13.0"; None for a CPU build.
        version: torch's.
        platform: `sys.platform`.
    """
    try:
        driver = read_driver()
    except CannotChooseError:
        driver = None  # `check_driver` says so
    if built_for is None:
        if driver is None:
            remedy = "Enough for the tiny model. For an 8B model this machine needs an NVIDIA GPU."
            return Check("torch build", "note", f"torch {version} is a CPU build", remedy)
        return Check(
            "torch build", "fail", f"torch {version} is a CPU build, and a GPU is here", _install(driver, platform)
        )
    generation = int(built_for.split(".")[0])
    if driver is not None and generation > driver.cuda[0]:
        found = (
            f"torch {version} is built for CUDA {built_for}, the driver runs {driver.cuda[0]}.{driver.cuda[1]} at most"
        )
        return Check("torch build", "fail", found, f"Update the driver, or: {_install(driver, platform)}")
    return Check("torch build", "ok", f"torch {version}, built for CUDA {built_for}")


def _install(driver: Driver, platform: str) -> str:
    try:
        arguments = choose(driver, platform).arguments
    except CannotChooseError as error:
        return str(error)
    return " ".join(f"pip install --force-reinstall {arguments} {TORCH}".split())


def check_gpu() -> Check:
    """The GPU as torch sees it, and its memory."""
    import torch

    if torch.version.cuda is None:
        return Check("gpu", "note", "none: torch is a CPU build")
    if not torch.cuda.is_available():
        remedy = "Run nvidia-smi. If it lists no GPU, install the driver; in a container, start it with --gpus all."
        return Check("gpu", "fail", f"torch is built for CUDA {torch.version.cuda}, but sees no usable GPU", remedy)
    free, total = torch.cuda.mem_get_info()
    found = f"{torch.cuda.get_device_name(0)}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free"
    if total < BIG_MODEL_VRAM_BYTES:
        remedy = "Too little for an 8B model in bfloat16: take the recipe's setting for this card (--card), or a smaller base."
        return Check("gpu", "note", found, remedy)
    if free < total / 2:
        return Check("gpu", "note", found, "More than half is in use; `nvidia-smi` lists by whom.")
    return Check("gpu", "ok", found)


def check_folder(name: str, folder: Path) -> Check:
    """A folder that must be writable, and its free space."""
    place = folder
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not _writable(place):
        remedy = "Fix its permissions, or point the setting elsewhere."
        return Check(name, "fail", f"{folder} cannot be written", remedy)
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
