"""`casiopy demo`, whole: from an empty folder to a character on Ollama, and once more without doing anything twice."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from persona_training.ollama.stand_in import StandInOllama
from running import ROOT, environment_in

from casiopy.demo.sample import load_sample

pytestmark = [pytest.mark.training, pytest.mark.timeout(4200)]


@dataclass
class Told:
    """What a first and a second demo left behind."""

    folder: Path
    first: str
    second: str
    ollama: StandInOllama

    def manifests(self, kind: str) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted((self.folder / kind).glob("*/manifest.json"))]

    def reports(self) -> dict[int, dict[str, Any]]:
        """Each layer's gate report."""
        adapters = self.manifests("lora_adapters")
        folder = self.folder / "lora_adapters"
        return {a["layer"]: json.loads((folder / a["adapter_id"] / "summary.json").read_text()) for a in adapters}


def demo(environment: dict[str, str]) -> str:
    command = [sys.executable, "-m", "casiopy", "demo", "--exit"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=2000, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def leave_base(data: Path, basetemp: Path) -> None:
    """Leave the tiny model the demo built where training's tests look before they build the same: it takes a minute."""
    shared = basetemp.parent if "PYTEST_XDIST_WORKER" in os.environ else basetemp
    bases = Path(os.environ.get("TINY_BASES") or shared / "bases") / "tiny"
    bases.mkdir(parents=True, exist_ok=True)
    for built in (data / "tiny").iterdir():
        copy = Path(tempfile.mkdtemp(prefix=".copied-", dir=bases))
        shutil.copytree(built, copy, dirs_exist_ok=True)
        try:
            copy.rename(bases / built.name)
        except OSError:  # somebody needed it sooner and has built it
            shutil.rmtree(copy)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    with tempfile.TemporaryDirectory(prefix="casiopy-demo-") as name, StandInOllama() as ollama:
        folder = Path(name)
        folder.chmod(0o755)
        environment = environment_in(folder) | {"OLLAMA_HOST": ollama.url, "COLUMNS": "160"}
        first = demo(environment)
        leave_base(folder / "data", tmp_path_factory.getbasetemp())
        yield Told(folder, first, demo(environment), ollama)


def test_every_chapter_is_told(told: Told) -> None:
    for chapter in ("Remember", "Score", "Recall", "Export", "Train", "Judge", "Deploy"):
        assert f"· {chapter}:" in told.first
    assert "First recalled memory after" in told.first
    assert "topics, the largest" in told.first


def test_layer_2_stands_on_layer_1(told: Told) -> None:
    layers = {manifest["layer"]: manifest for manifest in told.manifests("lora_adapters")}
    assert set(layers) == {1, 2}
    assert layers[2]["parent"]["adapter_id"] == layers[1]["adapter_id"]
    assert layers[2]["parent"]["weights_sha256"] == layers[1]["weights"]["sha256"]
    assert layers[2]["week"] == {"year": 2026, "number": 4}


def test_training_moved_the_base_into_character(told: Told) -> None:
    markers = {m["name"]: m for m in told.reports()[1]["metrics"]}["marker_rate"]
    assert markers["floor"] < 0.05
    assert markers["candidate"] > 0.6


def test_the_gate_passes_both_layers(told: Told) -> None:
    assert {layer: report["verdict"] for layer, report in told.reports().items()} == {1: "pass", 2: "pass"}


def test_she_is_on_ollama_under_her_tag(told: Told) -> None:
    assert {"casiopy:week04", "casiopy:latest"} <= set(told.ollama.models)


def test_a_second_run_does_nothing_twice(told: Told) -> None:
    assert f"All {len(load_sample())} exchanges are remembered already" in told.second
    assert len(told.manifests("exports")) == 2
    assert len(told.manifests("lora_adapters")) == 2
    assert told.second.count("is trained already") == 2
    assert told.second.count("has its report already") == 2
    assert "has been deployed already" in told.second
