"""What a rebuild takes of each week: decayed, bounded, repeatable, and refused where the weeks do not belong together."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from persona_training.datasets import Dataset
from persona_training.errors import DatasetError
from persona_training.rebuild import HALF_LIFE_WEEKS, Rebuild, decayed_count, gather_weeks
from persona_training.settings import Settings
from persona_training.testing import row, write_export


def weekly(
    exports: Path, year: int, number: int, count: int, persona: str = "casiopy", made: str = "2026-02-01"
) -> str:
    rows = [row([(f"{year}-{number} {i}", f"{made} {i}")], session=f"s{i}") for i in range(count)]
    folder = exports / f"{year}-{number}-{made}"
    manifest = write_export(folder, "episodic", rows, rows[:2])
    manifest["week"] |= {"year": year, "number": number}
    manifest |= {"persona": {"slug": persona}, "created_at": f"{made}T00:00:00Z", "export_id": folder.name}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder.name


def rebuilt(exports: Path, names: list[str], half_life: float = HALF_LIFE_WEEKS, seed: int = 7) -> Rebuild:
    return gather_weeks(names, half_life, seed, Settings(exports_dir=exports))


def asked(dataset: Dataset) -> list[str]:
    return [read.messages[1]["content"] for read in dataset.train]


@given(rows=st.integers(1, 500), age=st.integers(0, 600), half_life=st.floats(0.1, 200))
def test_older_weeks_give_fewer_rows_and_the_newest_all(rows: int, age: int, half_life: float) -> None:
    taken = decayed_count(rows, age, half_life)
    assert 0 <= taken <= rows
    assert decayed_count(rows, 0, half_life) == rows
    assert decayed_count(rows, age + 1, half_life) <= taken


@given(rows=st.integers(1, 500), half_life=st.integers(1, 60))
def test_after_the_half_life_half_of_the_rows_are_left(rows: int, half_life: int) -> None:
    assert decayed_count(2 * rows, half_life, half_life) == rows
    assert decayed_count(4 * rows, 2 * half_life, half_life) == rows


def test_ten_years_cost_no_more_than_twelve_weeks() -> None:
    kept = [decayed_count(60, age, HALF_LIFE_WEEKS) for age in range(520)]
    assert sum(kept) == pytest.approx(60 * 12.05, rel=0.01)
    assert kept[13] == pytest.approx(60 * 0.32, abs=1)
    assert kept[52] == 1
    assert kept[60] == 0


@hypothesis_settings(max_examples=15)
@given(
    first=st.integers(1, 9),
    gaps=st.lists(st.integers(1, 20), max_size=3),
    count=st.integers(3, 12),
    seed=st.integers(0, 3),
)
def test_a_week_that_ages_only_loses_rows(first: int, gaps: list[int], count: int, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        exports = Path(folder)
        numbers = [first]
        for gap in gaps:
            numbers.append(min(numbers[-1] + gap, 52))
        names = [weekly(exports, 2026, number, count) for number in dict.fromkeys(numbers)]
        now = rebuilt(exports, names, half_life=3.0, seed=seed)
        later = rebuilt(exports, [*names, weekly(exports, 2027, 2, count)], half_life=3.0, seed=seed)
        assert now == rebuilt(exports, names[::-1], half_life=3.0, seed=seed)
    newest = now.weeks[-1]
    assert (newest.age_weeks, newest.share, newest.taken) == (0, 1.0, count)
    assert now.dataset.week == (newest.year, newest.number)
    assert len(now.dataset.train) == sum(sample.taken for sample in now.weeks)
    assert set(asked(now.dataset)) >= {text for text in asked(later.dataset) if text.startswith("2026")}


def test_age_is_counted_across_the_turn_of_the_year(tmp_path: Path) -> None:
    names = [weekly(tmp_path, year, number, 8) for year, number in ((2020, 52), (2020, 53), (2021, 1))]
    rebuild = rebuilt(tmp_path, names, half_life=1.0)
    assert [sample.age_weeks for sample in rebuild.weeks] == [2, 1, 0]
    assert [sample.taken for sample in rebuild.weeks] == [2, 4, 8]
    assert len(rebuild.dataset.val) == 0 + 1 + 2


def test_without_names_the_newest_export_of_every_week_is_read(tmp_path: Path) -> None:
    weekly(tmp_path, 2026, 3, 4, made="2026-01-20")
    newer = weekly(tmp_path, 2026, 3, 5, made="2026-01-21")
    other = weekly(tmp_path, 2026, 4, 3)
    write_export(tmp_path / "personality", "personality", [row([("a", "b")])], [])
    assert [sample.dataset.export_id for sample in rebuilt(tmp_path, []).weeks] == [newer, other]


def test_a_withdrawn_export_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    older = weekly(tmp_path, 2026, 3, 4, made="2026-01-20")
    withdrawn = [weekly(tmp_path, 2026, 3, 5, made="2026-01-21"), weekly(tmp_path, 2026, 2, 3)]
    rebuild = gather_weeks([], 8.0, 7, Settings(exports_dir=tmp_path), withdrawn)
    assert [sample.dataset.export_id for sample in rebuild.weeks] == [older]


def test_a_broken_export_is_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weekly(tmp_path, 2026, 3, 4)
    nowhere = weekly(tmp_path, 2025, 53, 4)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{", encoding="utf-8")
    (tmp_path / "weekless").mkdir()
    (tmp_path / "weekless" / "manifest.json").write_text('{"type": "episodic", "week": 3}', encoding="utf-8")
    assert [sample.number for sample in rebuilt(tmp_path, []).weeks] == [3]
    said = capsys.readouterr().err
    assert said.count("is passed over") == 3
    assert "Year 2025 has no ISO week 53" in said
    with pytest.raises(DatasetError, match="Year 2025 has no ISO week 53"):
        rebuilt(tmp_path, [nowhere])


@pytest.mark.parametrize("half_life", [0.0, -1.0, float("nan"), float("inf")])
def test_a_half_life_is_a_number_of_weeks(half_life: float, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="above 0"):
        rebuilt(tmp_path, [weekly(tmp_path, 2026, 3, 4)], half_life)


def test_weeks_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    week_3, again = (weekly(tmp_path, 2026, 3, 4, made=f"2026-01-2{day}") for day in (0, 1))
    stranger = weekly(tmp_path, 2026, 4, 4, persona="somebody")
    write_export(tmp_path / "personality", "personality", [row([("a", "b")])], [])
    loose = tmp_path / "week_05.jsonl"
    loose.write_text(json.dumps(row([("nobody", "knows")])) + "\n", encoding="utf-8")
    for names, message in (
        ([week_3, again], "are the same week"),
        ([week_3, stranger], "one character"),
        ([week_3, "personality"], "holds personality rows"),
        ([week_3, str(loose)], "has no manifest that says its week"),
    ):
        with pytest.raises(DatasetError, match=message):
            rebuilt(tmp_path, names)
    with pytest.raises(DatasetError, match="No weekly export"):
        rebuilt(tmp_path / "nowhere", [])
    with pytest.raises(DatasetError, match="above 0"):
        rebuilt(tmp_path, [week_3], half_life=0)
