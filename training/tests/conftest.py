"""What training's tests share: the tiny model, the shipped sample as rows, and one trained adapter of each layer.

Real steps on one thread; the whole set of `training` tests takes about three CPU minutes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from filelock import FileLock
from persona_training.adapters import Manifest
from persona_training.config import Lora
from persona_training.display import Display
from persona_training.settings import Settings
from persona_training.testing import LINEAR_LAYERS, SMALL, RowText, World, small_recipe, write_export
from persona_training.testing import sample_rows as read_sample
from persona_training.tiny.build import tiny_model
from persona_training.training_run import RunResult
from rich.console import Console

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "casiopy" / "demo" / "sample_month.jsonl"

os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever asks for the tiny model first builds it, a CPU minute or, on a slow machine, several."""
    for item in items:
        if "tiny_base" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session", autouse=True)
def plain_words() -> Iterator[None]:
    """What is printed is read without colours and at its own width, whatever terminal this machine claims to have."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
def display() -> Display:
    """A display that prints into memory."""
    return Display(Console(file=StringIO(), width=160))


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, pre-trained for real once for all workers, or taken from TINY_BASES where this very recipe was built."""
    import torch

    torch.set_num_threads(1)
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    folder = Path(os.environ.get("TINY_BASES") or shared / "bases")
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "building.lock"):
        return tiny_model(folder, SMALL)


@pytest.fixture(scope="session")
def sample_rows() -> dict[str, list[RowText]]:
    """The shipped sample's good exchanges as dataset rows: weeks 1 to 3, and week 4."""
    return read_sample(SAMPLE)


@pytest.fixture(scope="session")
def shared_world(
    tiny_base: Path, sample_rows: dict[str, list[RowText]], tmp_path_factory: pytest.TempPathFactory
) -> World:
    """Exports made of the sample, around the small tiny model."""
    root = tmp_path_factory.mktemp("world")
    manifests: dict[str, Manifest] = {}
    for name, kind in (("personality", "personality"), ("week_04", "episodic")):
        rows = sample_rows[name]
        folder = root / "exports" / name
        manifests[name] = write_export(folder, kind, rows[len(rows) // 10 :], rows[: len(rows) // 10])
        folder.rename(folder.with_name(manifests[name]["export_id"]))
    settings = Settings(
        data_dir=root / "data",
        exports_dir=root / "exports",
        adapters_dir=root / "adapters",
        memory_service_url="http://127.0.0.1:9",
    )
    return World(tiny_base, settings, manifests["personality"], manifests["week_04"])


@pytest.fixture
def world(shared_world: World, tmp_path: Path) -> World:
    """The shared world with an adapters folder of this test's own."""
    return shared_world.elsewhere(tmp_path / "adapters")


@pytest.fixture(scope="session")
def layer_1(shared_world: World) -> RunResult:
    """A personality adapter trained until it speaks in character."""
    recipe = small_recipe(shared_world.base, steps={"max_steps": 110, "eval_every": 0, "save_every": 110})
    return shared_world.train(recipe, Display(Console(file=StringIO())))


@pytest.fixture(scope="session")
def layer_2(shared_world: World, layer_1: RunResult) -> RunResult:
    """Week 4 on top of it, with replay."""
    steps = {"max_steps": 40, "eval_every": 0, "save_every": 40, "learning_rate": 0.002}
    lora = Lora(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=LINEAR_LAYERS)
    recipe = small_recipe(shared_world.base, layer=2, steps=steps, lora=lora)
    return shared_world.train(recipe, Display(Console(file=StringIO())), week=4)


@pytest.fixture
def schemas() -> dict[str, object]:
    """The seam's schema files by name."""
    folder = ROOT / "lora_adapters" / "schema"
    return {
        path.name.removesuffix(".schema.json"): json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")
    }
