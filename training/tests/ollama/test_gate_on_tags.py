"""The gate hears tags as viewers do, knows the adapters behind them, and goes on where a server left it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from persona_training.evaluation import gate as gate_module
from persona_training.evaluation import rescoring
from persona_training.evaluation.command import gate
from persona_training.evaluation.pins import pin_golden
from persona_training.ollama.command import deploy
from persona_training.ollama.stand_in import StandInOllama

LAYER_1 = "personality-20260101T000000"
LAYER_2 = "episodic-2026-w05-20260201T000000"
House = Any  # conftest's


@pytest.fixture
def served(house: House, ollama: StandInOllama, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> House:
    """Both layers deployed one after the other, each saying something new every time."""
    for name, value in {
        "LORA_ADAPTERS_DIR": house.settings.adapters_dir,
        "EXPORTS_DIR": house.settings.exports_dir,
        "CASIOPY_DATA": house.settings.data_dir,
        "MEMORY_SERVICE_URL": "http://127.0.0.1:9",
        "OLLAMA_HOST": ollama.url,
        "COLUMNS": "300",
    }.items():
        monkeypatch.setenv(name, str(value))
    # The sentence embedding is tested where it lives.
    for module in (gate_module, rescoring):
        monkeypatch.setattr(module, "find_embedding", lambda say: None)
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("Eres Casiopy.", encoding="utf-8")
    for adapter in (LAYER_1, LAYER_2):
        assert CliRunner().invoke(deploy, ["--adapter", adapter, "--system-prompt", str(prompt)]).exit_code == 0
    spoken = iter(range(10_000))
    ollama.speak = lambda *_: f"*suspiro* Frase número {next(spoken)}, mortal, y no pienso repetirla."
    return house


def hear(*options: str) -> Result:
    result = CliRunner().invoke(gate, ["--model", "casiopy:week05", "--no-dialogues", "--samples", "1", *options])
    assert "Traceback" not in result.output
    return result


def test_losses_come_from_the_weights_behind_a_tag(served: House, ollama: StandInOllama) -> None:
    result = hear("--prompts", "9", "--save-report")
    assert result.exit_code in (1, 2)
    assert "Perplexity of casiopy:week05 is taken from its weights here" in result.output
    report = json.loads((served.adapter(LAYER_2) / "summary.json").read_text(encoding="utf-8"))
    (metric,) = (one for one in report["metrics"] if one["name"] == "persona_loss")
    assert metric["candidate"] > 0
    assert metric["candidate"] != metric["reference"]


def test_the_pinned_version_is_heard_under_the_tag_made_of_it(served: House, ollama: StandInOllama) -> None:
    pin_golden(served.settings.adapters_dir, served.adapter(LAYER_1), "sharp tongue")
    result = hear("--prompts", "5", "--baseline", "none", "--smoke")
    assert f"casiopy:personality: made of {LAYER_1}, pinned" in result.output
    assert "probes x 1" in result.output
    ollama.models.pop("casiopy:personality")
    ollama.models.pop("casiopy:previous", None)
    assert "is not served under any tag" in hear("--prompts", "5", "--smoke").output


def test_a_server_that_dies_is_no_verdict_and_nothing_is_lost(served: House, ollama: StandInOllama) -> None:
    options = ("--prompts", "70", "--baseline", "none", "--smoke")
    before = ollama.count("chat")
    ollama.fail("chat", 500, after=40)
    died = hear(*options)
    assert died.exit_code == 3
    assert "What was heard so far is kept: run the same command again" in died.output
    ollama.failures.clear()
    again = hear(*options)
    assert again.exit_code in (1, 2)
    assert "1 of 3 portions kept from an earlier gate" in again.output
    assert ollama.count("chat") - before == 41 + 70 - 32  # the portion that broke off is asked again


def test_a_tag_with_a_skill_beside_it_is_not_its_adapter(served: House, ollama: StandInOllama) -> None:
    path = served.settings.adapters_dir / "deployments.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    lines[-1]["skills"] = ["skill-chess"]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    result = hear("--prompts", "5", "--smoke", "--save-report", "--baseline", "none")
    assert f"deployed from {LAYER_2} with skill-chess beside it" in result.output
    assert "Not registered" in result.output
    folder = served.settings.adapters_dir / "tags" / "casiopy-week05"
    report = json.loads((folder / "summary.json").read_text("utf-8"))
    assert (report["candidate"]["adapter_id"], report["candidate"]["weights_sha256"]) == (None, None)
    again = CliRunner().invoke(gate, ["--rescore", str(folder / "results.jsonl"), "--save-report"])
    assert "Not registered" in again.output
    assert json.loads((folder / "summary.json").read_text("utf-8"))["candidate"] == report["candidate"]
