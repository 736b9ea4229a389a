"""What `casiopy week` says before it does anything: a dry run of part of a week, and files that are damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from persona_training.weekly.command import week
from persona_training.weekly.journal import read_journal

from .fakes import WEEK

DONE: dict[str, dict[str, Any]] = {
    "export": {"export_id": "e", "persona": "casiopy", "rows": 40},
    "train": {"adapter_id": "episodic-2026-w47-12345678"},
    "gate": {"verdict": "pass", "reasons": [], "report_id": "r", "report": "report.html", "skills": []},
    "deploy": {"tag": "casiopy:week47", "live": "casiopy:latest"},
}


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a week that was done to its end."""
    monkeypatch.setenv("LORA_ADAPTERS_DIR", str(tmp_path))
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    written = read_journal(tmp_path, WEEK, None)
    for name in ("export", "train", "gate", "deploy"):
        written.end(name, "done", 1.0, result=DONE[name])
    return written.path


def dry_run(*arguments: str) -> Result:
    return CliRunner().invoke(week, ["--dry-run", "--week", "47", "--year", "2026", "--timezone", "UTC", *arguments])


def plan_of(done: Result) -> dict[str, str]:
    """What it says of each stage."""
    assert done.exit_code == 0, done.output
    lines = (line.strip().partition(" ") for line in done.output.splitlines())
    return {name: rest.strip() for name, _, rest in lines if name in DONE}


@pytest.fixture(autouse=True)
def _after_the_week(monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import UTC, datetime

    monkeypatch.setattr("persona_training.weekly.calendar_week.now_here", lambda: datetime(2027, 1, 10, tzinfo=UTC))


def test_a_dry_run_of_a_stage_done_again(journal: Path) -> None:
    before = journal.read_bytes()
    assert all(plan.startswith("done already") for plan in plan_of(dry_run()).values())
    told = plan_of(dry_run("--again", "gate"))
    assert told["export"].startswith("done already")
    assert told["train"].startswith("done already")
    assert told["gate"].startswith("would ask episodic-2026-w47-12345678")
    assert told["deploy"].startswith("would, after a pass, create casiopy:week47")
    assert journal.read_bytes() == before


@pytest.mark.parametrize("result", ["x", {}, {"adapter_id": 5}])
def test_a_damaged_result_is_named_and_done_again(result: object, journal: Path) -> None:
    content = json.loads(journal.read_text(encoding="utf-8"))
    content["stages"]["train"]["result"] = result
    journal.write_text(json.dumps(content), encoding="utf-8")
    done = dry_run()
    assert (done.exit_code, "journal.json" in done.output, "train" in done.output) == (1, True, True), done.output
    if isinstance(result, dict):
        assert "train" in plan_of(dry_run("--again", "train"))


def test_a_battery_nested_too_deeply_is_a_wrong_option(journal: Path, tmp_path: Path) -> None:
    (tmp_path / "deep.yaml").write_text("probes: " + "[" * 100_000, encoding="utf-8")
    done = dry_run("--battery", str(tmp_path / "deep.yaml"))
    assert (done.exit_code, "nested more than 50 deep" in done.output) == (2, True), done.output
