"""Which build of torch this machine needs: prints pip's arguments for it, and on stderr the reason.

Runs before anything is installed, so it imports nothing but the standard library:

    python training/src/persona_training/torch_choice.py FOLDER

FOLDER is where the virtual environment will lie; exit code 1 if its disk has no room or the driver is too old for any build.

torch 2.13 is built for CUDA 12.6 (cards from Maxwell to Hopper) and CUDA 13.0 (Turing to Blackwell), of which the package
index carries 13.0 for Linux and the CPU build for the rest (release matrix of pytorch/pytorch, RELEASE.md). A build runs on
every driver of its CUDA generation: 12.6 from driver 525 on, 13.0 from 580 on (NVIDIA, CUDA compatibility).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

INDEX = "--index-url https://download.pytorch.org/whl/"
# A CUDA build with its libraries is about 7 GB installed, and pip unpacks beside; the CPU build with all that training needs
# is 2.5 GB (measured).
CUDA_ROOM_BYTES, CPU_ROOM_BYTES = 16 << 30, 5 << 30
TURING, BLACKWELL = 7.5, 10.0
QUERY = ["nvidia-smi", "--query-gpu=driver_version,compute_cap", "--format=csv,noheader"]


class CannotChooseError(Exception):
    """No build of torch fits this machine as it is; the message says what to do."""


@dataclass(frozen=True)
class Driver:
    """What nvidia-smi says: the driver's version, the newest CUDA it runs, and the oldest card's compute capability."""

    version: str
    cuda: tuple[int, int]
    oldest: float
    newest: float


@dataclass(frozen=True)
class Choice:
    """pip's arguments, why, and how many bytes the disk should have for it."""

    arguments: str
    reason: str
    room: int


def read_driver() -> Driver | None:
    """The NVIDIA driver, or None where there is none.

    Raises:
        CannotChooseError: nvidia-smi is there and fails, as after an update without a restart.
    """
    if shutil.which(QUERY[0]) is None:
        return None
    try:
        cards = subprocess.run(QUERY, capture_output=True, text=True, check=True, timeout=60).stdout
        banner = subprocess.run(QUERY[:1], capture_output=True, text=True, check=True, timeout=60).stdout
    except (subprocess.SubprocessError, OSError) as error:
        told = (getattr(error, "stdout", "") or str(error)).strip()
        raise CannotChooseError(
            f"nvidia-smi fails ({told}). Restart after a driver update, or reinstall the driver."
        ) from error
    return parse_driver(cards, banner)


def parse_driver(cards: str, banner: str) -> Driver:
    """From nvidia-smi's list of cards and its banner.

    Raises:
        CannotChooseError: they do not say what they usually say.
    """
    lines = [line.split(",") for line in cards.strip().splitlines()]
    found = re.search(r"CUDA (?:UMD )?Version\s*:\s*(\d+)\.(\d+)", banner)
    try:
        capabilities = [float(line[1]) for line in lines]
        return Driver(lines[0][0].strip(), (int(found[1]), int(found[2])), min(capabilities), max(capabilities))  # type: ignore[index]
    except (IndexError, ValueError, TypeError) as error:
        raise CannotChooseError("nvidia-smi does not tell driver and card. Set TORCH_PIP_ARGS yourself.") from error


def choose(driver: Driver | None, platform: str) -> Choice:
    """The build for a driver on a platform (`sys.platform`).

    Raises:
        CannotChooseError: the driver is too old for the card or for any build.
    """
    if driver is None:
        if platform == "linux":
            return Choice(f"{INDEX}cpu", "no NVIDIA driver (nvidia-smi) is here: the CPU build", CPU_ROOM_BYTES)
        return Choice("", "no NVIDIA driver (nvidia-smi) is here: the build of the package index", CPU_ROOM_BYTES)
    cuda = ".".join(map(str, driver.cuda))
    said = f"driver {driver.version} runs CUDA {cuda}"
    if driver.cuda < (12, 0):
        raise CannotChooseError(f"{said}; torch needs driver 525 or newer. Update it: https://www.nvidia.com/drivers")
    if driver.oldest < TURING:
        return Choice(f"{INDEX}cu126", f"{said}, and a card is older than Turing: CUDA 12.6", CUDA_ROOM_BYTES)
    if driver.cuda >= (13, 0):
        arguments = "" if platform == "linux" else f"{INDEX}cu130"
        return Choice(arguments, f"{said}: the build for CUDA 13.0", CUDA_ROOM_BYTES)
    if driver.newest >= BLACKWELL:
        raise CannotChooseError(
            f"{said}, and this card needs 13.0. Update the driver to 580 or newer: https://www.nvidia.com/drivers"
        )
    return Choice(f"{INDEX}cu126", f"{said}: the build for CUDA 12.6", CUDA_ROOM_BYTES)


def check_room(folder: Path, choice: Choice) -> str:
    """A sentence on the disk's room.

    Raises:
        CannotChooseError: it is not enough.
    """
    free = shutil.disk_usage(folder).free
    said = f"{free / 2**30:.0f} GiB free in {folder}, about {choice.room / 2**30:.0f} GiB needed"
    if free < choice.room:
        raise CannotChooseError(f"{said}. Free some space, or choose a smaller build with TORCH_PIP_ARGS.")
    return said


def main(folder: str = ".") -> int:
    """Print the arguments, and the reasons on stderr."""
    try:
        choice = choose(read_driver(), sys.platform)
        room = check_room(Path(folder), choice)
    except CannotChooseError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"torch: {choice.reason}\ndisk: {room}", file=sys.stderr)
    print(choice.arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
