"""Whatever keeps the gate from a verdict exits with 3: 1 and 2 are verdicts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from persona_training.evaluation import gate as gate_module
from persona_training.evaluation.battery import Battery
from persona_training.evaluation.command import gate

from .test_results import setting

SCRIPT = Path(__file__).parents[2] / "test_personality.py"


@pytest.fixture(autouse=True)
def away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    monkeypatch.setenv("LORA_ADAPTERS_DIR", str(tmp_path))


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (RecursionError("too deep"), "the gate itself failed (RecursionError"),
        (MemoryError(), "the gate itself failed (MemoryError"),
        (UnicodeEncodeError("utf-8", "\ud83d", 0, 1, "surrogates"), "the gate itself failed (UnicodeEncodeError"),
        (BrokenPipeError(32, "Broken pipe"), "Nobody reads"),
        (SystemExit(1), "Nobody reads"),
        (KeyboardInterrupt(), "Stopped."),
    ],
)
@pytest.mark.parametrize("where", ["run", "options"])
def test_no_exception_is_a_verdict(
    raised: BaseException, words: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> Any:
        raise raised

    if where == "run":
        monkeypatch.setattr(gate_module, "run_gate", failing)
    else:
        monkeypatch.setattr(next(one for one in gate.params if one.name == "battery"), "callback", failing)
    result = CliRunner().invoke(gate, ["--model", "x"])
    assert (result.exit_code, words in result.output) == (3, True), result.output
    assert ("Traceback" in result.output) == ("itself failed" in words)


def test_too_many_looks_are_refused() -> None:
    result = CliRunner().invoke(gate, ["--model", "x", "--samples", "65"])
    assert (result.exit_code, "--no-early-stop" in result.output) == (3, True), result.output
    result = CliRunner().invoke(gate, ["--model", "nobody", "--samples", "65", "--no-early-stop"])
    assert (result.exit_code, "Nothing is called" in result.output) == (3, True), result.output


def test_a_hand_edited_setting_is_no_verdict(battery: Battery, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(json.dumps({**setting(battery), "looks": 1_000_000}), encoding="utf-8")
    result = CliRunner().invoke(gate, ["--rescore", str(path)])
    assert (result.exit_code, "looks: 1000000" in result.output) == (3, True), result.output
    assert "Traceback" not in result.output


INTERRUPTED = """
import runpy, sys

class Interrupting:
    def find_spec(self, name, *_):
        if name == wanted:
            raise KeyboardInterrupt

wanted, *sys.argv = sys.argv[1:]
sys.meta_path.insert(0, Interrupting())
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize(
    "module",
    [
        "persona_training.evaluation.command",
        "persona_training.options",
        "persona_training.evaluation.results",
        "persona_training.settings",
    ],
)
def test_ctrl_c_while_the_program_loads_is_no_verdict(module: str) -> None:
    told = [sys.executable, "-c", INTERRUPTED, module, str(SCRIPT), "--model", "x"]
    program = subprocess.run(told, capture_output=True, text=True, timeout=60, check=False)
    assert (program.returncode, "Stopped." in program.stderr) == (3, True), program.stderr


def test_a_closed_pipe_is_no_verdict(battery: Battery, tmp_path: Path) -> None:
    """`casiopy gate ... | head -1` in a shell with pipefail."""
    (tmp_path / "results.jsonl").write_text(json.dumps(setting(battery)), encoding="utf-8")
    told = [sys.executable, str(SCRIPT), "--rescore", str(tmp_path / "results.jsonl")]
    with subprocess.Popen(told, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        program.stdout.close()
        assert program.stderr is not None
        said = program.stderr.read()
    assert (program.returncode, "Nobody reads" in said) == (3, True), said
