"""The loader of the sample month says which line is wrong, and what to do about it."""

import json
from pathlib import Path
from typing import Any

import pytest

from casiopy.demo.sample import (
    LABELS,
    RECALL_QUESTIONS,
    SAMPLE,
    SampleError,
    load_recall_questions,
    load_sample,
    main,
)


def _line(**changes: Any) -> str:
    good = json.loads(SAMPLE.read_text(encoding="utf-8").splitlines()[0])
    return json.dumps({name: value for name, value in (good | changes).items() if value is not None})


@pytest.mark.parametrize(
    ("second_line", "complaint"),
    [
        ("{not json", "line 2: not JSON"),
        ("[1, 2]", "line 2: a JSON object is expected, not list"),
        (_line(keep=None), "line 2: missing keep"),
        (_line(mood="good"), "line 2: unknown mood"),
        (_line(keep="yes"), "line 2: keep must be bool, not str"),
        (_line(labels="excellent"), "line 2: labels must be list"),
        (_line(labels=["splendid"]), r"line 2: labels \['splendid'\]; use one or more of: .*excellent"),
        (_line(labels=[]), "line 2: labels are empty"),
        (_line(occurred_at="2026-01-01T20:00:00"), "line 2: .* must be UTC and end in Z"),
        (_line(occurred_at="yesterdayZ"), "line 2: .* is not an ISO 8601 time"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, second_line: str, complaint: str) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text(f"{_line()}\n{second_line}\n", encoding="utf-8")
    with pytest.raises(SampleError, match=complaint):
        load_sample(broken)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "does not exist"), (b"", "holds no exchange"), (b"\xff\xfe", "is not UTF-8")],
)
def test_an_unusable_file_is_explained(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    path = tmp_path / "sample.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SampleError, match=complaint):
        load_sample(path)


def test_a_question_without_its_fields_is_named(tmp_path: Path) -> None:
    entries = json.loads(RECALL_QUESTIONS.read_text(encoding="utf-8"))
    del entries[1]["why"]
    path = tmp_path / "questions.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    with pytest.raises(SampleError, match="entry 2: exactly these fields"):
        load_recall_questions(path)


def test_counting_it_prints_every_label(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    printed = capsys.readouterr().out
    assert f"{len(load_sample())} exchanges" in printed
    assert all(label in printed for label in LABELS)
