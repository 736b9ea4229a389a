"""Which week is meant: the last one that is over, as the clocks of the zone show it."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona_training.weekly.calendar_week import IsoWeek, WeekError, chosen_week, last_complete_week

MADRID = "Europe/Madrid"


@pytest.mark.parametrize(
    ("moment", "timezone", "expected"),
    [
        ("2026-11-21T12:00:00+00:00", MADRID, (2026, 46)),  # a Saturday: its own week is not over
        ("2026-11-22T23:30:00+00:00", MADRID, (2026, 47)),  # Sunday night in London, Monday in Madrid
        ("2026-11-22T23:30:00+00:00", "UTC", (2026, 46)),
        ("2026-11-23T04:30:00+00:00", MADRID, (2026, 47)),
        ("2026-01-01T12:00:00+00:00", MADRID, (2025, 52)),
        ("2021-01-06T12:00:00+00:00", MADRID, (2020, 53)),  # a long year's last week
    ],
)
def test_the_last_complete_week(moment: str, timezone: str, expected: tuple[int, int]) -> None:
    assert last_complete_week(datetime.fromisoformat(moment), timezone) == IsoWeek(*expected)


@given(
    moment=st.integers(946_857_600, 3_786_912_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    timezone=st.sampled_from([MADRID, "UTC", "Pacific/Auckland", "America/Caracas"]),
)
def test_it_has_ended_within_the_last_seven_days(moment: datetime, timezone: str) -> None:
    week = last_complete_week(moment, timezone)
    today = moment.astimezone(ZoneInfo(timezone)).date()
    assert timedelta(days=1) <= today - week.sunday <= timedelta(days=7)
    assert (week.sunday - week.monday).days == 6
    assert chosen_week(week.number, week.year, moment, timezone)[0] == week
    assert chosen_week(week.number, None, moment, timezone)[0] == week


@pytest.mark.parametrize(
    ("number", "year", "timezone", "told"),
    [
        (None, 2026, MADRID, "--year goes with --week"),
        (53, 2025, MADRID, "has no ISO week 53"),
        (47, 2026, MADRID, "is not over before 23 November 2026, 00:00"),
        (47, None, MADRID, "2026-W47 is not over"),
        (3, 2027, MADRID, "is not over"),
        (3, 2026, "Spain/Sevilla", "Unknown time zone"),
        (None, None, "../etc/passwd", "Unknown time zone"),
    ],
)
def test_what_is_refused(number: int | None, year: int | None, timezone: str, told: str) -> None:
    with pytest.raises(WeekError, match=told) as refused:
        chosen_week(number, year, datetime(2026, 11, 21, 12, tzinfo=UTC), timezone)
    assert refused.value.exit_code == 2


def test_a_week_without_a_year_is_the_latest_that_has_begun() -> None:
    at = datetime(2027, 2, 3, tzinfo=UTC)
    assert chosen_week(52, None, at, MADRID)[0] == IsoWeek(2026, 52)
    assert chosen_week(53, None, at, MADRID)[0] == IsoWeek(2026, 53)
    assert chosen_week(4, None, at, MADRID)[0] == IsoWeek(2027, 4)
