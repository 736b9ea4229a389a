"""The service every whole-system test talks to."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from running import Service, running_service


@pytest.fixture(scope="session", autouse=True)
def plain_words() -> Iterator[None]:
    """What is printed is read without colours and at its own width, whatever terminal this machine claims to have."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    """`casiopy serve` over an embedded database of its own."""
    with tempfile.TemporaryDirectory(prefix="casiopy-whole-") as folder:
        Path(folder).chmod(0o755)
        with running_service(Path(folder)) as running:
            yield running
