"""The command's exit codes and words, as an operator meets them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from persona_training.evaluation.command import gate
from persona_training.ollama.command import deploy
from persona_training.ollama.stand_in import StandInOllama

LAYER_1 = "personality-20260101T000000"
LAYER_2 = "episodic-2026-w05-20260201T000000"
House = Any


@pytest.fixture
def at(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    for name, value in {
        "LORA_ADAPTERS_DIR": house.settings.adapters_dir,
        "EXPORTS_DIR": house.settings.exports_dir,
        "CASIOPY_DATA": house.settings.data_dir,
        "MEMORY_SERVICE_URL": "http://127.0.0.1:9",
        "OLLAMA_HOST": "127.0.0.1:9",
        "COLUMNS": "300",
    }.items():
        monkeypatch.setenv(name, str(value))
    return house


@pytest.fixture
def prompt(tmp_path: Path) -> str:
    path = tmp_path / "prompt.txt"
    path.write_text("Eres Casiopy.", encoding="utf-8")
    return str(path)


def run(*options: str) -> Result:
    result = CliRunner().invoke(deploy, options)
    assert "Traceback" not in result.output
    return result


def test_live_is_zero(at: House, ollama: StandInOllama, prompt: str) -> None:
    result = run("--week", "5", "--host", ollama.url, "--system-prompt", prompt)
    assert result.exit_code == 0, result.output
    assert "casiopy:latest is casiopy:week05 now" in result.output
    assert "does not answer" in result.output  # the memory service is away, and it says so
    assert run("--rollback", "--host", ollama.url).exit_code == 4


def test_layers_go_as_an_adapter_when_asked(at: House, ollama: StandInOllama, prompt: str) -> None:
    ollama.version = "0.33.0"
    result = run("--week", "5", "--host", ollama.url, "--system-prompt", prompt, "--as", "adapter")
    assert result.exit_code == 0, result.output
    assert "releases before 0.34.1 take a GGUF adapter" in result.output
    assert ollama.models["casiopy:latest"]["adapters"]


def test_a_quantiser_that_is_not_here_is_one(
    at: House, ollama: StandInOllama, prompt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persona_training.gguf_export.k_quants.shutil.which", lambda name: None)
    monkeypatch.setattr("persona_training.gguf_export.k_quants.importlib.util.find_spec", lambda name: None)
    result = run("--week", "5", "--host", ollama.url, "--system-prompt", prompt, "--quantize", "q4_k_m")
    assert result.exit_code == 1
    assert "--quantize Q8_0" in result.output
    assert ollama.requests == []


def test_refused_is_one(at: House, prompt: str) -> None:
    at.change_report(LAYER_2, verdict="inconclusive")
    result = run("--week", "5", "--system-prompt", prompt)
    assert result.exit_code == 1
    assert "does not go live" in result.output


def test_no_system_prompt_is_refused(at: House) -> None:
    result = run("--week", "5")
    assert result.exit_code == 1
    assert "--system-prompt" in result.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--week 99", "'--week'"),
        ("", "either --week N"),
        ("--dry-run", "either --week N"),
        ("--week 5 --adapter x", "either --week N"),
        ("--adapter x --year 2026", "--year is the year of a --week"),
        ("--week 5 --reason because", "--reason goes with --force"),
        ("--week 5 --tag casiopy", "cannot be used as a tag"),
        ("--week 5 --tag casiopy:latest", "cannot be used as a tag"),
        ("--rollback --week 4", "--week goes with a deployment, not with --rollback"),
        ("--rollback --force", "--force goes with a deployment"),
        ("--rollback --as merged", "--as goes with a deployment"),
        ("--rollback --once", "--once goes with --watch, not with --rollback"),
        ("--watch --once --adapter x", "--adapter goes with a deployment, not with --watch"),
        ("--watch --reason because", "--reason goes with --rollback or a deployment"),
        ("--watch --once --every 6h", "--once looks once"),
        ("--week 5 --once", "--once goes with --watch, not with a deployment"),
        ("--week 5 --every 6h", "--every goes with --watch"),
        ("--week 5 --name luma", "--name goes with --rollback or --watch"),
    ],
)
def test_wrong_options_are_two_and_nobody_is_asked(at: House, ollama: StandInOllama, options: str, said: str) -> None:
    at.change_report(LAYER_2, verdict="fail")  # a wrong option is told before a refusal
    result = run(*options.split(), "--host", ollama.url)
    assert (result.exit_code, said in " ".join(result.output.split())) == (2, True), result.output
    assert ollama.requests == []


def test_a_dry_run_of_a_rollback_moves_nothing(at: House, ollama: StandInOllama, prompt: str) -> None:
    back = ("--rollback", "--dry-run", "--host", ollama.url)
    nothing = run(*back)
    assert (nothing.exit_code, "Nothing to roll back to" in nothing.output) == (4, True)
    for adapter in (LAYER_1, LAYER_2):
        assert run("--adapter", adapter, "--host", ollama.url, "--system-prompt", prompt).exit_code == 0
    models, ledger = dict(ollama.models), at.settings.adapters_dir / "deployments.jsonl"
    written = ledger.read_bytes()
    result = run(*back)
    assert result.exit_code == 0, result.output
    assert f"casiopy:latest would be casiopy:personality again ({LAYER_1})" in result.output
    assert (ollama.models, ledger.read_bytes()) == (models, written)
    assert run("--rollback", "--dry-run").exit_code == 3  # nobody answers


def test_ollama_away_is_three_and_says_how(at: House, prompt: str) -> None:
    result = run("--week", "5", "--system-prompt", prompt)
    assert result.exit_code == 3
    folder = (at.adapter(LAYER_2) / "deploy").resolve()
    for line in (
        f"cd {folder}",
        "ollama create casiopy:week05 -f Modelfile",
        "ollama cp casiopy:week05 casiopy:latest",
    ):
        assert line in result.output
    modelfile = (folder / "Modelfile").read_text(encoding="utf-8")
    assert (folder / modelfile.splitlines()[0].removeprefix("FROM ./")).is_file()


def test_ollama_failing_is_four(at: House, ollama: StandInOllama, prompt: str) -> None:
    ollama.fail("create", 500)
    result = run("--week", "5", "--host", ollama.url, "--system-prompt", prompt)
    assert result.exit_code == 4
    assert "create was made to fail" in result.output


def test_a_dry_run_touches_nothing(at: House, ollama: StandInOllama, prompt: str) -> None:
    result = run("--week", "5", "--host", ollama.url, "--system-prompt", prompt, "--dry-run")
    assert result.exit_code == 0
    assert "nothing was written" in result.output
    assert not (at.adapter(LAYER_2) / "deploy").exists()
    assert ollama.requests == []


def test_the_gate_hears_a_deployed_tag(at: House, ollama: StandInOllama, prompt: str, tmp_path: Path) -> None:
    """casiopy:week05 after a deployment: heard through Ollama, compared with the version before, report to its adapter."""
    for adapter in (LAYER_1, LAYER_2):
        assert run("--adapter", adapter, "--host", ollama.url, "--system-prompt", prompt).exit_code == 0
    spoken = iter(range(10_000))
    ollama.speak = lambda *_: f"*suspiro* Frase número {next(spoken)}, mortal, y no pienso repetirla."
    options = ["--model", "casiopy:week05", "--save-report", "--host", ollama.url, "--prompts", "24", "--samples", "1"]
    result = CliRunner().invoke(gate, options)
    assert "Traceback" not in result.output
    report = json.loads((at.adapter(LAYER_2) / "summary.json").read_text(encoding="utf-8"))
    assert result.exit_code == {"pass": 0, "fail": 1, "inconclusive": 2}[report["verdict"]]
    assert report["serving"]["backend"] == "ollama"
    assert report["candidate"]["adapter_id"] == LAYER_2
    assert report["reference"]["adapter_id"] == LAYER_1
    assert report["serving"]["system_prompt"] == "inside the tag casiopy:week05"
    told = [body["messages"] for step, body in ollama.requests if step == "chat"][-1]
    assert "system" not in {message["role"] for message in told}  # the tag carries its own system prompt


def test_the_script_is_the_command() -> None:
    script = Path(__file__).parents[2] / "deploy_to_ollama.py"
    helped = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=True)
    assert "--rollback" in helped.stdout


@pytest.mark.parametrize("host", ["::::", "http://x:abc", "ftp://x", "http://[::1"])
def test_a_host_that_is_no_address_is_a_wrong_option(at: House, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("--week", "5", "--host", host)
    assert (result.exit_code, "is no address" in result.output) == (2, True)
    result = CliRunner().invoke(gate, ["--model", LAYER_2, "--host", host])
    assert (result.exit_code, "is no address" in result.output) == (3, True)
    monkeypatch.setenv("OLLAMA_HOST", host)
    result = run("--week", "5", "--dry-run")
    assert (result.exit_code, "OLLAMA_HOST in the environment" in result.output) == (2, True)


@pytest.mark.parametrize("option", ["--battery", "--system-prompt"])
def test_a_text_that_is_not_utf_8_is_a_wrong_option(at: House, tmp_path: Path, option: str) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: ñ".encode("latin-1"))
    result = CliRunner().invoke(gate, ["--model", LAYER_2, option, str(path)])
    assert (result.exit_code, "is not UTF-8" in result.output) == (3, True)


@pytest.mark.parametrize("seed", ["-1", str(2**32)])
def test_a_seed_out_of_range_is_a_wrong_option(at: House, seed: str) -> None:
    result = CliRunner().invoke(gate, ["--model", LAYER_2, "--seed", seed])
    assert (result.exit_code, "0<=x<=4294967295" in result.output) == (3, True)


def test_a_report_without_a_place_is_refused_before_the_exam(at: House) -> None:
    result = CliRunner().invoke(gate, ["--model", LAYER_2, "--save-report", "--output-dir", "/proc/x"])
    assert (result.exit_code, "Cannot write into /proc/x" in result.output) == (3, True)
    assert "candidate" not in result.output
