"""Names and retention: pure rules, so properties over many histories."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_service.backup.catalog import (
    DAYS,
    HOURS,
    KINDS,
    MONTHS,
    WEEKS,
    Backup,
    Kind,
    expired,
    file_name,
    finished,
    parse,
)
from memory_service.backup.commands import due

NOW = datetime(2026, 3, 18, 12, 0, tzinfo=UTC)
moments = st.integers(0, 2 * 366 * 86_400).map(
    lambda seconds: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)
histories = st.lists(moments, unique=True, max_size=60)


def _backups(kind: Kind, moments: list[datetime]) -> list[Backup]:
    return [
        Backup(Path(file_name(kind, at, base=False, sealed=False)), kind, at, base=False, sealed=False)
        for at in moments
    ]


@given(kind=st.sampled_from(KINDS), at=moments, base=st.booleans(), sealed=st.booleans())
def test_a_name_says_everything(kind: Kind, at: datetime, base: bool, sealed: bool) -> None:
    path = Path("backups") / kind / file_name(kind, at, base=base, sealed=sealed)
    assert parse(path) == Backup(path, kind, at, base, sealed)


def test_the_documented_name() -> None:
    assert file_name("daily", NOW, base=False, sealed=False) == "memory_daily_20260318_120000.dump"


@pytest.mark.parametrize(
    "name",
    ["notes.txt", "memory_daily_20260318.dump", "memory_yearly_20260318_120000.dump", "memory_daily_20261399_120000.dump",
     "memory_daily_20260318_120000.dump.sha256", "memory_daily_20260318_120000.dump.old"],
)  # fmt: skip
def test_files_of_others_are_no_backups(name: str) -> None:
    assert parse(Path(name)) is None


@given(kind=st.sampled_from(KINDS), moments=histories)
def test_the_newest_backup_never_expires(kind: Kind, moments: list[datetime]) -> None:
    backups = _backups(kind, moments)
    gone = expired(backups, kind)
    assert set(gone) <= set(backups)
    if backups:
        assert max(backups, key=lambda backup: backup.taken_at) not in gone


@given(kind=st.sampled_from(KINDS), moments=histories)
def test_what_stays_stays_until_something_newer_comes(kind: Kind, moments: list[datetime]) -> None:
    backups = _backups(kind, moments)
    kept = [backup for backup in backups if backup not in expired(backups, kind)]
    assert expired(kept, kind) == []


@given(moments=histories)
def test_other_kinds_are_left_alone(moments: list[datetime]) -> None:
    mixed = [backup for index, at in enumerate(moments) for backup in _backups(KINDS[index % 3], [at])]
    assert all(backup.kind == "daily" for backup in expired(mixed, "daily"))


@pytest.mark.parametrize(
    ("kind", "step", "count", "stay"),
    [
        ("hourly", timedelta(hours=1), 100, HOURS),
        ("daily", timedelta(days=1), 30, DAYS),
        ("daily", timedelta(hours=12), 30, 2 * DAYS),
    ],
)
def test_a_steady_rhythm_keeps_the_promised_time(kind: Kind, step: timedelta, count: int, stay: int) -> None:
    start = datetime(2026, 3, 18, 0, 0, tzinfo=UTC)
    backups = _backups(kind, [start + step * index for index in range(count)])
    assert len(backups) - len(expired(backups, kind)) == stay


def test_weekly_backups_cover_four_weeks_and_six_months() -> None:
    backups = _backups("weekly", [NOW - timedelta(weeks=week) for week in range(52)])
    kept = [backup.taken_at for backup in backups if backup not in expired(backups, "weekly")]
    assert kept[:WEEKS] == [NOW - timedelta(weeks=week) for week in range(WEEKS)]
    assert len({(at.year, at.month) for at in kept}) == MONTHS
    assert len(kept) == 8


def test_after_a_long_silence_old_backups_are_still_there() -> None:
    backups = _backups("daily", [NOW - timedelta(days=days) for days in (200, 201, 202)])
    assert expired(backups, "daily") == []


def test_only_backups_with_a_checksum_count_as_finished(tmp_path: Path) -> None:
    (tmp_path / "daily").mkdir()
    whole = tmp_path / "daily" / "memory_daily_20260318_120000.dump"
    torn = tmp_path / "daily" / "memory_daily_20260319_120000.dump"
    for path in (whole, torn, whole.with_name(whole.name + ".sha256")):
        path.write_text("x")
    assert [backup.path for backup in finished(tmp_path)] == [whole]


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], ["hourly", "daily", "weekly"]),
        ([("daily", NOW), ("weekly", NOW)], ["hourly"]),
        ([("daily", NOW - timedelta(days=1)), ("weekly", NOW - timedelta(days=1))], ["hourly", "daily"]),
        ([("daily", NOW), ("weekly", NOW - timedelta(weeks=1))], ["hourly", "weekly"]),
    ],
)
def test_what_is_due(history: list[tuple[Kind, datetime]], expected: list[Kind]) -> None:
    backups = [backup for kind, at in history for backup in _backups(kind, [at])]
    assert due(backups, NOW) == expected
