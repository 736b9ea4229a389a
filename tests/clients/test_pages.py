"""Every client page, request by request, against the running service."""

import subprocess
import sys
from pathlib import Path

import pytest
from pages import KEY, pointed, python_blocks, replay
from running import ROOT, Service

PAGES = sorted((ROOT / "docs" / "clients").glob("[a-z]*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_is_true(page: Path, untouched: Service) -> None:
    assert len(replay(page, untouched, KEY)) >= 5


@pytest.mark.parametrize("page", [page for page in PAGES if python_blocks(page)], ids=lambda page: page.stem)
def test_its_python_runs(page: Path, untouched: Service) -> None:
    for program in python_blocks(page):
        command = [sys.executable, "-c", pointed(program, untouched, KEY)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("You are a helpful assistant.")
        assert "- " in done.stdout
