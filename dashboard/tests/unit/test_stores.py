"""What the files say about runs, and how long silence may last."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from persona_dashboard.blueprints.gate import change
from persona_dashboard.export_store import ExportStore, parse_rows
from persona_dashboard.lineage import Link, constellation
from persona_dashboard.report_shapes import Replies
from persona_dashboard.run_store import RunStore
from seam_files import append_metrics, write_adapter, write_export, write_run


@pytest.mark.parametrize(
    ("status", "silent", "seen"),
    [
        ("running", 0, "running"),
        ("running", 30, "running"),
        ("running", 30.5, "dead"),
        ("queued", 30, "queued"),
        ("queued", 30.5, "dead"),
        ("finished", 300, "finished"),
        ("failed", 300, "failed"),
        ("interrupted", 0, "interrupted"),
    ],
)
def test_silence_of_thirty_seconds_is_death(tmp_path: Path, status: str, silent: float, seen: str) -> None:
    write_run(tmp_path, "a", status, 3)
    store = RunStore(tmp_path)
    beat = store.run("a").heartbeat
    assert beat
    assert store.run("a", beat.heartbeat_at + timedelta(seconds=silent)).status == seen


def test_a_finished_manifest_outlives_a_heartbeat_that_was_cut_off(tmp_path: Path) -> None:
    write_adapter(tmp_path, "a", "personality-11aa22bb")
    write_run(tmp_path, "a", "running", 80, silent_seconds=300)
    assert RunStore(tmp_path).run("a").status == "finished"


def test_a_run_that_only_measured_is_listed(tmp_path: Path) -> None:
    append_metrics(tmp_path, "a", range(1, 4))
    (run,) = RunStore(tmp_path).runs()
    assert (run.status, run.progress, run.ended) == ("unknown", None, False)


def test_runs_are_newest_first_and_strangers_are_left_out(tmp_path: Path) -> None:
    write_adapter(tmp_path, "older", "personality-11aa22bb")
    write_adapter(tmp_path, "newer", "personality-11aa22bb", parent="older")
    (tmp_path / "schema").mkdir()
    (tmp_path / "README.md").write_text("x", encoding="utf-8")
    assert [run.adapter_id for run in RunStore(tmp_path).runs()] == ["newer", "older"]


def test_layers_stand_on_each_other_even_in_a_circle(tmp_path: Path) -> None:
    write_adapter(tmp_path, "one", "personality-11aa22bb", parent="two")
    write_adapter(tmp_path, "two", "personality-11aa22bb", parent="one")
    assert [layer.adapter_id for layer in RunStore(tmp_path).stack("two")] == ["one", "two"]
    assert RunStore(tmp_path).stack("nothing") == []


def test_datasets_are_those_with_a_manifest(tmp_path: Path) -> None:
    write_export(tmp_path)
    (tmp_path / "personality").mkdir()
    (tmp_path / "personality" / "personality.jsonl").write_text("{}", encoding="utf-8")
    store = ExportStore(tmp_path)
    assert list(store.manifests()) == ["episodic-2026-w04-0a1b2c3d"]
    assert store.sample("episodic-2026-w04-0a1b2c3d", "val", 2)
    assert store.sample("episodic-2026-w04-0a1b2c3d", "nope", 2) is None


def test_damaged_rows_are_left_out() -> None:
    good = '{"messages": [{"role": "user", "content": "a"}], "metadata": {}}'
    assert len(parse_rows(["{", good, "[]", good], 5)) == 2


@pytest.mark.parametrize(
    ("reference", "candidate", "share"),
    [("a b c", "a b c", 0.0), ("a b", "c d", 1.0), ("a b", "a c", 0.5), ("", "", 0.0), ("a", None, 1.0)],
)
def test_change_counts_words(reference: str, candidate: str | None, share: float) -> None:
    assert change(Replies(probe="p", reference=reference, candidate=candidate)) == pytest.approx(share)


def test_without_a_reference_the_base_model_is_compared() -> None:
    assert change(Replies(probe="p", floor="a b", candidate="a b")) == 0.0


def test_the_constellation_joins_sources_to_what_came_of_them() -> None:
    drawing = constellation(
        [
            Link("interactions", "i", "12"),
            Link("exports", "e1", "e1", ("i",)),
            Link("exports", "e2", "e2", ("i",)),
            Link("adapters", "a", "a", ("e1", "gone")),
        ]
    )
    assert len(drawing.edges) == 3
    assert {star.link.identifier: star.x for star in drawing.stars} == {"i": 12.5, "e1": 37.5, "e2": 37.5, "a": 62.5}
    assert all(0 < star.y < drawing.height for star in drawing.stars)


def test_a_missing_folder_is_empty_and_a_file_is_a_fault(tmp_path: Path) -> None:
    assert RunStore(tmp_path / "not-yet").fault() is None
    assert RunStore(tmp_path / "not-yet").runs() == []
    (tmp_path / "file").write_text("x", encoding="utf-8")
    assert "Not a directory" in (RunStore(tmp_path / "file").fault() or "")
    assert datetime.now(UTC) > RunStore(tmp_path).run("none").began_at


_WHERE = '"metadata": {"viewer": "viewer_1"}'


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            '{"conversations": [{"from": "system", "value": "s"}, {"from": "human", "value": "a"}, '
            '{"from": "gpt", "value": "b"}]',
            [("system", "s"), ("user", "a"), ("assistant", "b")],
        ),
        (
            '{"instruction": "c", "input": "", "output": "d", "system": "", "history": [["a", "b"]]',
            [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")],
        ),
        (
            '{"prompt": [{"role": "user", "content": "a"}], "chosen": [{"role": "assistant", "content": "b"}], '
            '"rejected": [{"role": "assistant", "content": "c"}]',
            [("user", "a"), ("assistant", "✓ b"), ("assistant", "✗ c")],
        ),
        (
            '{"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}], '
            '"label": false',
            [("user", "a"), ("assistant", "✗ b")],
        ),
    ],
)
def test_rows_of_every_format_are_shown(line: str, said: list[tuple[str, str]]) -> None:
    (row,) = parse_rows([f"{line}, {_WHERE}}}", '{"conversations": 3}', '{"prompt": []}'], 5)
    assert [(message.role, message.content) for message in row.messages] == said
    assert row.metadata == {"viewer": "viewer_1"}
