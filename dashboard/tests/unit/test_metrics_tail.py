"""Following metrics.jsonl never loses, doubles or invents a point."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from persona_dashboard.metrics_tail import MetricsTail
from seam_files import metric


def line(step: int, **more: object) -> bytes:
    return json.dumps({**metric(step), **more}).encode() + b"\n"


@given(cuts=st.lists(st.integers(0, 4000), max_size=12).map(sorted))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_way_of_growing_gives_the_same_points(tmp_path: Path, cuts: list[int]) -> None:
    whole = b"".join(line(step) for step in range(1, 15))
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"")
    tail, told = MetricsTail(path), []
    for cut in [*cuts, len(whole)]:
        path.write_bytes(whole[:cut])
        told += [point.step for point in tail.read()]
    assert told == list(range(1, 15))
    assert [point.step for point in tail.points] == told
    assert tail.offset == len(whole)


@given(known=st.integers(0, 14))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_going_on_from_an_offset_tells_exactly_the_rest(tmp_path: Path, known: int) -> None:
    lines = [line(step) for step in range(1, 15)]
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"".join(lines))
    tail = MetricsTail(path)
    tail.read(until=sum(map(len, lines[:known])))
    assert [point.step for point in tail.read()] == list(range(known + 1, 15))
    assert len(tail.points) == 14


def test_a_file_that_began_anew_is_told_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(line(1))
    tail = MetricsTail(path)
    tail.read(until=10_000)
    assert [point.step for point in tail.read()] == [1]
    path.write_bytes(b"")
    assert tail.read() == []
    path.write_bytes(line(7))
    assert [point.step for point in tail.read()] == [7]
    assert [point.step for point in tail.points] == [7]


def test_a_resumed_run_replaces_what_it_repeats(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"".join(line(step) for step in (1, 2, 3, 4)) + line(3, loss=9.0))
    tail = MetricsTail(path)
    tail.read()
    assert [(point.step, point.loss == 9.0) for point in tail.points] == [(1, False), (2, False), (3, True)]


def test_a_line_with_only_eval_loss_joins_its_step(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(line(5, eval_loss=None) + line(5, loss=None, eval_loss=1.5))
    tail = MetricsTail(path)
    tail.read()
    assert [(point.loss, point.eval_loss) for point in tail.points] == [(metric(5)["loss"], 1.5)]


@pytest.mark.parametrize("damage", [b"not json\n", b"{}\n", b'{"step": "x"}\n', b"\xff\xfe\n", b"[1]\n"])
def test_damage_is_counted_and_skipped(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(line(1) + damage + line(2))
    tail = MetricsTail(path)
    assert [point.step for point in tail.read()] == [1, 2]
    assert tail.damaged == 1


def test_no_file_is_no_points(tmp_path: Path) -> None:
    assert MetricsTail(tmp_path / "metrics.jsonl").read() == []
