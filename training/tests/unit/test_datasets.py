"""Every way to name a dataset, and every way it can be wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from persona_training.datasets import load_dataset
from persona_training.errors import DatasetError
from persona_training.testing import RowText, row, write_export, write_rows


def rows(count: int, sessions: int = 5) -> list[RowText]:
    return [row([(f"pregunta {i}", f"respuesta {i}")], session=f"s{i % sessions}") for i in range(count)]


@pytest.fixture
def export(tmp_path: Path) -> Path:
    folder = tmp_path / "exports" / "personality-x"
    manifest = write_export(folder, "personality", rows(9), rows(3))
    return folder.rename(folder.with_name(manifest["export_id"]))


def test_an_export_has_many_names(export: Path) -> None:
    exports = export.parent
    named = [load_dataset([name], exports) for name in (export.name, str(export), str(export / "manifest.json"))]
    assert {dataset.export_id for dataset in named} == {export.name}
    assert [(len(dataset.train), len(dataset.val)) for dataset in named] == [(9, 3)] * 3


def test_a_copy_of_an_export_is_recognised(export: Path, tmp_path: Path) -> None:
    copy = tmp_path / "personality.jsonl"
    copy.write_bytes((export / "train.jsonl").read_bytes())
    dataset = load_dataset([str(copy)], export.parent)
    assert dataset.export_id == export.name
    assert len(dataset.val) == 3


def test_bare_files_hold_whole_sessions_out(tmp_path: Path) -> None:
    files = [str(write_rows(tmp_path / f"{n}.jsonl", rows(30, sessions=20))) for n in "ab"]
    dataset = load_dataset(files, tmp_path)
    assert dataset.export_id is None
    assert len(dataset.train) + len(dataset.val) == 60
    assert not {r.session_id for r in dataset.train} & {r.session_id for r in dataset.val}
    assert {r.session_id for r in dataset.val} == {"s0", "s10"}


def test_of_several_weeks_the_one_asked_for_is_used(tmp_path: Path) -> None:
    files = [str(write_rows(tmp_path / f"week_{n:02d}.jsonl", rows(n))) for n in (3, 4, 5)]
    assert [path.name for path in load_dataset(files, tmp_path, week=4).source] == ["week_04.jsonl"]
    with pytest.raises(DatasetError, match="None of the given files is week_06"):
        load_dataset(files, tmp_path, week=6)


def test_a_changed_file_is_refused(export: Path) -> None:
    write_rows(export / "train.jsonl", rows(8))
    with pytest.raises(DatasetError, match="changed after the export"):
        load_dataset([export.name], export.parent)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json\n", "line 1"),
        ('{"messages": []}\n', "take turns"),
        ('{"text": "hola"}\n', "not a row of the form"),
        (json.dumps(row([("hola", " ")])) + "\n", "a message is empty"),
        ('{"messages": [{"role": "user", "content": "hola"}]}\n', "take turns"),
        ('{"messages": [{"role": "assistant", "content": "hola"}, {"role": "user", "content": "x"}]}\n', "take turns"),
        ("", "no training rows"),
        ("\n\n", "no training rows"),
    ],
)
def test_bad_rows_say_where_and_why(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=message):
        load_dataset([str(file)], tmp_path)


def test_a_missing_dataset_names_those_that_are_there(export: Path) -> None:
    with pytest.raises(DatasetError, match=export.name):
        load_dataset(["nowhere"], export.parent)
    with pytest.raises(DatasetError, match="Pass --dataset"):
        load_dataset([], export.parent)
