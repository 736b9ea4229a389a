"""The gate from a name to a verdict, on adapters that were really trained."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from persona_training.display import Display
from persona_training.errors import AdapterError
from persona_training.evaluation.command import gate
from persona_training.evaluation.gate import Request, run_gate
from persona_training.evaluation.pins import pin_golden
from persona_training.evaluation.report import Report
from persona_training.joining import join_adapters
from persona_training.ollama.tags import OllamaTags
from persona_training.testing import World, row, small_recipe, write_export
from persona_training.training_run import RunResult
from rich.console import Console

NOWHERE = "127.0.0.1:9"
SCRIPT = Path(__file__).parents[2] / "test_personality.py"

pytestmark = pytest.mark.training


# Enough for the verdicts below; a whole gate takes a CPU minute.
QUICK: dict[str, Any] = {"prompts": 40, "samples": 2, "dialogue_samples": 0}


def run(world: World, model: str, **changes: Any) -> tuple[Report, str]:
    text = StringIO()
    report = run_gate(
        Request(model=model, **{**QUICK, **changes}),
        world.settings,
        OllamaTags(world.settings.adapters_dir, NOWHERE),
        Display(Console(file=text, width=200)),
    )
    return report, text.getvalue()


def values(report: Report, name: str) -> dict[str, Any]:
    metric = next(metric for metric in report["metrics"] if metric["name"] == name)
    assert isinstance(metric, dict)
    return metric


def test_layer_1_rises_above_its_base(shared_world: World, layer_1: RunResult, schemas: dict[str, object]) -> None:
    report, said = run(shared_world, layer_1.folder.name, save_report=True)
    jsonschema.Draft202012Validator(schemas["report-v1"]).validate(report)  # type: ignore[arg-type]
    for name in ("style", "marker_rate"):
        assert values(report, name)["verdict"] == "pass", values(report, name)
    assert values(report, "marker_rate")["floor"] <= 0.1
    assert values(report, "memorised")["candidate"] is not None
    assert report["reference"] is None
    assert report["candidate"]["weights_sha256"] == layer_1.manifest["weights"]["sha256"]
    assert json.loads((layer_1.folder / "summary.json").read_text(encoding="utf-8")) == report
    assert {"report.html", "junit.xml", "results.jsonl"} <= {path.name for path in layer_1.folder.iterdir()}
    her_words, ordinary = values(report, "persona_loss"), values(report, "general_loss")
    assert her_words["candidate"] < her_words["floor"]
    assert ordinary["candidate"] is not None
    assert "does not answer" in said  # the service is away, and the gate says so


def test_layer_2_is_compared_with_layer_1(shared_world: World, layer_1: RunResult, layer_2: RunResult) -> None:
    report, said = run(shared_world, "casiopy:week04", samples=1)
    assert report["reference"]["adapter_id"] == layer_1.folder.name
    assert report["candidate"]["adapter_id"] == layer_2.folder.name
    assert "no reachable Ollama serves casiopy:week04" in said
    assert values(report, "style")["verdict"] != "fail"
    assert values(report, "marker_rate")["verdict"] != "fail"
    with pytest.raises(AdapterError, match="the candidate's own weights"):
        run(shared_world, "casiopy:week04", baseline=layer_2.folder.name)


def test_the_same_run_gives_the_same_verdict(shared_world: World, layer_1: RunResult) -> None:
    quick = {"prompts": 12, "samples": 1, "redraw": True}
    first, second = (run(shared_world, layer_1.folder.name, **quick)[0] for _ in range(2))
    for key in ("verdict", "metrics", "replies"):
        assert first[key] == second[key]


def test_a_join_is_judged_in_its_own_folder(shared_world: World, layer_1: RunResult, layer_2: RunResult) -> None:
    adapters = shared_world.settings.adapters_dir
    join = join_adapters(layer_2.folder, adapters / "joined" / layer_2.folder.name)
    quick = {"prompts": 8, "samples": 1, "save_report": True}
    report, said = run(shared_world, f"joined/{layer_2.folder.name}", **quick)
    assert f"a join of {layer_1.folder.name} + {layer_2.folder.name}" in said
    assert report["candidate"]["adapter_id"] is None
    assert (
        report["candidate"]["weights_sha256"]
        == json.loads((join / "joined.json").read_text("utf-8"))["weights"]["sha256"]
    )
    assert report["reference"]["adapter_id"] == layer_1.folder.name
    apart, _ = run(shared_world, layer_2.folder.name, prompts=8, samples=1)
    assert values(report, "persona_loss")["candidate"] == pytest.approx(
        values(apart, "persona_loss")["candidate"], abs=1e-4
    )
    assert join_adapters(layer_2.folder, join) == join  # the report about an older join is in nobody's way
    (join / "adapter_model.safetensors").write_bytes(b"changed")
    with pytest.raises(AdapterError, match="changed after joining"):
        run(shared_world, str(join), **quick)


def test_the_pinned_version_is_heard(world: World, layer_1: RunResult, layer_2: RunResult) -> None:
    for result in (layer_1, layer_2):
        shutil.copytree(result.folder, world.settings.adapters_dir / result.folder.name)
    pin_golden(world.settings.adapters_dir, world.settings.adapters_dir / layer_1.folder.name, "sharp tongue")
    quick = {"prompts": 8, "samples": 1}
    report, said = run(world, layer_2.folder.name, baseline="none", **quick)
    assert (report["reference"], report["golden"]["adapter_id"]) == (None, layer_1.folder.name)
    assert "sharp tongue" in said
    report, _ = run(world, layer_2.folder.name, golden="none", **quick)
    assert (report["reference"]["adapter_id"], report["golden"]) == (layer_1.folder.name, None)


def test_a_lobotomy_fails(shared_world: World, layer_1: RunResult, tmp_path: Path) -> None:
    """A layer 2 trained without replay on a polite assistant's replies is caught."""
    adapters, exports = tmp_path / "adapters", tmp_path / "exports"
    shutil.copytree(layer_1.folder, adapters / layer_1.folder.name)
    polite = [
        row([(f"Pregunta {i}: ¿qué opinas del tema {i}?", "Claro, con gusto. Espero que esto te ayude.")], f"s{i}")
        for i in range(24)
    ]
    manifest = write_export(exports / "polite", "episodic", polite, polite[:2])
    (exports / "polite").rename(exports / manifest["export_id"])
    settings = dataclasses.replace(shared_world.settings, adapters_dir=adapters, exports_dir=exports)
    world = World(shared_world.base, settings, shared_world.personality, manifest)
    recipe = small_recipe(shared_world.base, layer=2, replay_share=0.0, steps={"max_steps": 30, "eval_every": 0})
    trained = world.train(recipe, Display(Console(file=StringIO())), week=4)
    report, _ = run(world, trained.folder.name)
    assert report["verdict"] == "fail"
    failed = {metric["name"] for metric in report["metrics"] if metric["verdict"] == "fail"}
    assert {"style", "marker_rate"} <= failed


def test_the_command_exits_with_the_verdict(
    shared_world: World, layer_1: RunResult, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {
        "LORA_ADAPTERS_DIR": shared_world.settings.adapters_dir,
        "EXPORTS_DIR": shared_world.settings.exports_dir,
        "CASIOPY_DATA": shared_world.settings.data_dir,
        "MEMORY_SERVICE_URL": "http://127.0.0.1:9",
        "OLLAMA_HOST": NOWHERE,
    }.items():
        monkeypatch.setenv(name, str(value))
    options = ["--model", layer_1.folder.name, "--prompts", "8", "--samples", "1", "--no-dialogues", "--save-report"]
    result = CliRunner().invoke(gate, [*options, "--output-dir", str(tmp_path)])
    report = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert result.exit_code == {"pass": 0, "fail": 1, "inconclusive": 2}[report["verdict"]]
    assert report["verdict"] != "pass"  # eight prompts prove nothing


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "Missing option '--model'"),
        (["--model", "nobody"], "Nothing is called 'nobody'"),
        (["--model", "nobody", "--battery", "gone"], "No shipped battery"),
        (["--model", "nobody", "--samples", "0"], "--samples"),
        (["--model", "nobody", "--backend", "cloud"], "cloud"),
    ],
)
def test_what_cannot_be_judged_is_no_verdict(
    options: list[str], words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LORA_ADAPTERS_DIR", str(tmp_path))
    monkeypatch.setenv("OLLAMA_HOST", NOWHERE)
    result = CliRunner().invoke(gate, options)
    assert result.exit_code == 3
    assert words in result.output
    assert "Traceback" not in result.output


def test_the_script_is_a_program_and_no_test_module() -> None:
    collected = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "training/tests/evaluation/test_bootstrap.py"],
        cwd=SCRIPT.parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "training/test_personality.py" not in collected.stdout
    helped = subprocess.run([sys.executable, SCRIPT, "--help"], capture_output=True, text=True, check=True)
    assert "--save-report" in helped.stdout
