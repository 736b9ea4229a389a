"""One service behind five doors, with a key, a model stand-in and the example's agents installed beside it."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from memory_service.llm.stand_in import StandIn
from pages import KEY
from reading import read_or_speak
from running import ROOT, Service, running_service


@pytest.fixture(scope="session")
def model() -> Iterator[StandIn]:
    """A language model's server that speaks the real wire formats."""
    with StandIn(always=read_or_speak) as server:
        yield server


@pytest.fixture(scope="session")
def plug_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the client-registry example installed, as `pip` leaves it."""
    target = tmp_path_factory.mktemp("plug-ins")
    source = tmp_path_factory.mktemp("source") / "client_registry"
    # pip builds in the folder it is given; compiled files come and go while others run.
    shutil.copytree(ROOT / "examples" / "client_registry", source, ignore=shutil.ignore_patterns("__pycache__"))
    arguments = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *arguments, str(source)], check=True, timeout=250)
    return target


@contextmanager
def _service(model: StandIn, plug_ins: Path) -> Iterator[Service]:
    with tempfile.TemporaryDirectory(prefix="casiopy-clients-") as folder:
        Path(folder).chmod(0o755)
        settings = {
            "API_KEY": KEY,
            "LLM_BASE_URL": model.openai_url,
            "LLM_MODEL": "casiopy:live",
            "PYTHONPATH": str(plug_ins),
        }
        with running_service(Path(folder), **settings) as service:
            yield service


@pytest.fixture(scope="session")
def five_doors(model: StandIn, plug_ins: Path) -> Iterator[Service]:
    """`casiopy serve` as an operator with a model and a key runs it."""
    with _service(model, plug_ins) as service:
        yield service


@pytest.fixture(scope="module")
def untouched(model: StandIn, plug_ins: Path) -> Iterator[Service]:
    """The same for one module alone: nobody has said anything yet."""
    with _service(model, plug_ins) as service:
        yield service
