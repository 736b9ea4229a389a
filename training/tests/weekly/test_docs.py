"""What docs/weekly.md says is true: commands parse, units and schedules mean what stands beside them, codes are all there."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from croniter import croniter
from persona_training.weekly.command import week
from persona_training.weekly.endings import code_table

PAGE = (Path(__file__).parents[3] / "docs" / "weekly.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
MONDAY_MORNING = datetime(2026, 11, 23, 4, 30, tzinfo=UTC)


def blocks(language: str) -> list[str]:
    return [text for found, text in BLOCK.findall(PAGE) if found == language]


def parsed(command: str) -> click.Context:
    """The command line as click reads it."""
    words = shlex.split(command, comments=True)
    assert Path(words[0].replace("\\", "/")).stem == "casiopy"
    assert words[1] == "week"
    return week.make_context("week", words[2:])


def unit(kind: str) -> configparser.ConfigParser:
    """One of the two systemd units."""
    (text,) = (block for block in blocks("ini") if f"[{kind}]" in block)
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser


def test_every_command_line_of_the_page_parses() -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("casiopy week")]
    inline = re.findall(r"`(casiopy week[^`]*)`", PAGE)
    assert len(lines) == 5
    for line in [*lines, *inline]:
        parsed(line)
    assert parsed(lines[2]).params["number"] == 47


def test_the_codes_are_the_command_s_own() -> None:
    told = dict(re.findall(r"^\| (\d+) \| (.+) \|$", PAGE, re.MULTILINE))
    assert {int(code): meaning.replace("`", "") for code, meaning in told.items()} == {
        code: meaning.replace("`", "") for code, meaning in code_table()
    }


def test_the_service_runs_the_command_and_takes_nothing_to_learn_for_success() -> None:
    service = unit("Service")["Service"]
    assert service["Type"] == "oneshot"
    assert parsed(service["ExecStart"]).params["no_deploy"] is False
    assert service["ExecStart"].startswith(service["WorkingDirectory"] + "/.venv/bin/")
    assert service["SuccessExitStatus"] == "11"


def test_the_timer_fires_on_monday_at_half_past_four() -> None:
    timer = unit("Timer")
    assert timer["Timer"]["OnCalendar"] == "Mon *-*-* 04:30:00"
    assert timer["Timer"]["Persistent"] == "true"
    assert timer["Install"]["WantedBy"] == "timers.target"


@pytest.mark.opt_in
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd here; the units' keys are checked above")
    checkout = tmp_path / "casiopy"
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "casiopy").write_text("#!/bin/sh\n", encoding="utf-8")
    (checkout / ".venv" / "bin" / "casiopy").chmod(0o755)
    paths = []
    for kind in ("Service", "Timer"):
        (text,) = (block for block in blocks("ini") if f"[{kind}]" in block)
        paths.append(tmp_path / f"casiopy-week.{kind.lower()}")
        paths[-1].write_text(text.replace("/path/to/casiopy", str(checkout)), encoding="utf-8")
    done = subprocess.run([program, "verify", "--man=no", *paths], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if "casiopy-week" in line]
    assert not complaints


def test_the_cron_line_fires_on_monday_and_runs_the_command() -> None:
    (line,) = blocks("cron")
    *schedule, command = line.split(maxsplit=5)
    assert croniter(" ".join(schedule), datetime(2026, 11, 21, tzinfo=UTC)).get_next(datetime) == MONDAY_MORNING
    folder, run = command.split("&&")
    assert folder.split() == ["cd", "/path/to/casiopy"]
    parsed(run.split(">>")[0])


def test_the_windows_task_runs_weekly_on_monday() -> None:
    (line,) = blocks("bat")
    program, create, *rest = re.findall(r'"[^"]*"|\S+', line)
    assert (program, create) == ("schtasks", "/Create")
    given = dict(zip(rest[::2], rest[1::2], strict=True))
    assert (given["/SC"], given["/D"], given["/ST"]) == ("WEEKLY", "MON", "04:30")
    assert len(given["/TR"].strip('"')) <= 261, "schtasks takes no longer command"
    folder, run = given["/TR"].strip('"').removeprefix("cmd /c ").split("&&")
    assert folder.split() == ["cd", "/d", r"C:\path\to\casiopy"]
    parsed(run.split(">>")[0].strip().replace("\\", "/"))
