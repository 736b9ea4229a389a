"""Which torch for which driver, from what nvidia-smi really prints; nothing here needs a GPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from persona_training import torch_choice
from persona_training.torch_choice import CannotChooseError, Choice, Driver, check_room, choose, main, parse_driver

BANNER = "| NVIDIA-SMI 580.95.05  Driver Version: 580.95.05  CUDA Version: 13.0  |"
NEWER_BANNER = "| NVIDIA-SMI 590.44  KMD Version: 590.44  CUDA UMD Version: 13.1  |"


@pytest.mark.parametrize(
    ("driver", "platform", "arguments", "reason"),
    [
        (None, "linux", f"{torch_choice.INDEX}cpu", "no NVIDIA driver"),
        (None, "win32", "", "no NVIDIA driver"),
        (None, "darwin", "", "no NVIDIA driver"),
        (Driver("580.95", (13, 0), 8.6, 8.6), "linux", "", "CUDA 13.0"),
        (Driver("580.95", (13, 0), 8.6, 12.0), "win32", f"{torch_choice.INDEX}cu130", "CUDA 13.0"),
        (Driver("550.54", (12, 4), 8.9, 8.9), "linux", f"{torch_choice.INDEX}cu126", "driver 550.54 runs CUDA 12.4"),
        (Driver("590.44", (13, 1), 6.1, 8.6), "linux", f"{torch_choice.INDEX}cu126", "older than Turing"),
    ],
)
def test_the_build_follows_driver_and_card(driver: Driver | None, platform: str, arguments: str, reason: str) -> None:
    choice = choose(driver, platform)
    assert choice.arguments == arguments
    assert reason in choice.reason


@pytest.mark.parametrize(
    ("driver", "remedy"),
    [(Driver("470.82", (11, 4), 8.6, 8.6), "525 or newer"), (Driver("550.54", (12, 4), 8.6, 12.0), "580 or newer")],
)
def test_a_driver_too_old_is_told_what_it_needs(driver: Driver, remedy: str) -> None:
    with pytest.raises(CannotChooseError, match=remedy):
        choose(driver, "linux")


@pytest.mark.parametrize(("banner", "cuda"), [(BANNER, (13, 0)), (NEWER_BANNER, (13, 1))])
def test_nvidia_smi_is_read(banner: str, cuda: tuple[int, int]) -> None:
    assert parse_driver("580.95.05, 8.6\n580.95.05, 12.0\n", banner) == Driver("580.95.05", cuda, 8.6, 12.0)


@pytest.mark.parametrize(("cards", "banner"), [("", BANNER), ("580.95.05, [N/A]\n", BANNER), ("580.95.05, 8.6\n", "?")])
def test_what_cannot_be_read_is_said(cards: str, banner: str) -> None:
    with pytest.raises(CannotChooseError, match="TORCH_PIP_ARGS"):
        parse_driver(cards, banner)


def test_a_driver_that_does_not_answer_is_told_to_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "nvidia-smi"
    broken.write_text("#!/bin/sh\necho 'Driver/library version mismatch'\nexit 18\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(CannotChooseError, match=r"version mismatch.*Restart"):
        torch_choice.read_driver()


def test_a_small_disk_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CannotChooseError, match="Free some space"):
        check_room(tmp_path, Choice("", "", 1 << 60))
    assert main(str(tmp_path)) in (0, 1)
    assert "torch: " in (told := capsys.readouterr().err) or "nvidia" in told or "Free some space" in told


def test_it_needs_no_library() -> None:
    script = Path(torch_choice.__file__)
    code = f"import runpy, sys; runpy.run_path({str(script)!r}); sys.exit('click' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-S", "-c", code], check=False).returncode == 0
