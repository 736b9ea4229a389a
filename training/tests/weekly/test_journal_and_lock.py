"""The journal on disk, and one run at a time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from persona_training.errors import StorageError
from persona_training.weekly import proving, schooling
from persona_training.weekly.calendar_week import IsoWeek
from persona_training.weekly.journal import RESULTS, JournalError, check_results, read_journal, week_folder
from persona_training.weekly.lock import LockedError, alone

from .fakes import WEEK, journal_in

HOLD = """
import sys, time
from pathlib import Path
from persona_training.weekly.lock import alone
with alone(Path(sys.argv[1]), "2026-W47"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_another_process_is_turned_away_with_pid_and_since(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        told = json.loads((tmp_path / "weeks" / ".lock.json").read_text(encoding="utf-8"))
        with pytest.raises(LockedError) as refused, alone(tmp_path, "2026-W46"):
            pass
        for part in (f"process {holder.pid}", f"since {told['since']}", "2026-W47", "Nothing was touched"):
            assert part in refused.value.message
        assert refused.value.exit_code == 5
    finally:
        holder.kill()
        holder.wait(10)
    with alone(tmp_path, "2026-W46"):  # a process that died holds nothing
        assert json.loads((tmp_path / "weeks" / ".lock.json").read_text(encoding="utf-8"))["pid"] == os.getpid()
    assert not (tmp_path / "weeks" / ".lock.json").exists()


def test_a_journal_of_each_persona(tmp_path: Path) -> None:
    assert week_folder(tmp_path, WEEK, None) == tmp_path / "weeks" / "2026-W47"
    assert week_folder(tmp_path, WEEK, "luma") == tmp_path / "weeks" / "2026-W47-luma"


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    since = journal.begin("export", {"timezone": "UTC"})
    journal.end("export", "failed", 1.5, message="away")
    assert journal.begin("export", {"timezone": "UTC"}) == since
    journal.end("export", "done", 2.0, result={"rows": 12})
    again = journal_in(tmp_path)
    assert again.stages == journal.stages
    assert (again.stages["export"].seconds, again.stages["export"].attempts) == (3.5, 2)
    assert again.results() == {"export": {"rows": 12}}


def test_reading_writes_nothing(tmp_path: Path) -> None:
    journal_in(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"schema": "casiopy/week-v1"}', '{"schema": "casiopy/week-v1", "week": {"year": 2025, "number": 47}}'],
)
def test_a_damaged_journal_is_refused_by_name(content: str, tmp_path: Path) -> None:
    path = tmp_path / "weeks" / "2026-W47" / "journal.json"
    path.parent.mkdir(parents=True)
    path.write_text(content, encoding="utf-8")
    with pytest.raises(JournalError, match="cannot be read") as refused:
        read_journal(tmp_path, IsoWeek(2026, 47), None)
    assert str(path) in refused.value.message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("result", "x"),
        ("asked", None),
        ("attempts", "two"),
        ("seconds", None),
        ("status", "sleeping"),
        ("since", 5),
        ("message", []),
        ("mood", "odd"),
    ],
)
def test_a_damaged_stage_is_refused_by_name(key: str, value: object, tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.begin("export", {})
    content = json.loads(journal.path.read_text(encoding="utf-8"))
    content["stages"]["export"][key] = value
    journal.path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(JournalError, match=rf"(?s)journal\.json cannot be read.*{key}|no status"):
        journal_in(tmp_path)


def test_a_result_that_cannot_be_gone_on_from(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.end("export", "done", 1.0, result={"export_id": "e", "persona": "casiopy", "rows": 12})
    assert check_results(journal_in(tmp_path)).results() == journal.results()
    journal.end("train", "done", 1.0, result={"steps": 3})
    with pytest.raises(JournalError, match=r"the result of train has no usable adapter_id.*--again train"):
        check_results(journal_in(tmp_path))
    assert check_results(journal_in(tmp_path).without("train")).results() == {"export": journal.results()["export"]}


def test_a_list_of_something_else_is_not_gone_on_from(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    gate = {"verdict": "pass", "reasons": [], "report_id": "r", "report": "r.html", "skills": [5]}
    journal.end("gate", "done", 1.0, result=gate)
    with pytest.raises(JournalError, match=r"the result of gate has no usable skills"):
        check_results(journal_in(tmp_path))


def test_what_the_stages_write_can_be_gone_on_from() -> None:
    """The keys asked for are among those the stages give."""
    source = Path(schooling.__file__).read_text(encoding="utf-8") + Path(proving.__file__).read_text(encoding="utf-8")
    for keys in RESULTS.values():
        assert [key for key in keys if f'"{key}"' not in source] == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "weeks").write_text("in the way", encoding="utf-8")
    with pytest.raises(StorageError), alone(tmp_path, "2026-W47"):
        pass
    with pytest.raises(StorageError):
        journal_in(tmp_path).begin("export", {})
