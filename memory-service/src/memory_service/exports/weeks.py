"""ISO weeks of a stated year in a stated time zone, as UTC bounds.

"Week 5" means nothing without a year, and a stream on Sunday night in Madrid lies in the next week for UTC readers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


@dataclass(frozen=True, slots=True)
class Week:
    """An ISO week: Monday 00:00 to the next Monday 00:00 in `timezone`; `start` included and `end` excluded, both UTC."""

    year: int
    number: int
    timezone: str
    start: datetime
    end: datetime


def iso_week(year: int, number: int, timezone: str) -> Week:
    """The bounds of an ISO week.

    Raises ValueError when the year has no such week or the time zone is unknown; the message says what to give.
    """
    zone = zone_of(timezone)
    try:
        monday = date.fromisocalendar(year, number, 1)
        following = monday + timedelta(days=7)
    except (ValueError, OverflowError):
        raise ValueError(
            f"year {year} has no ISO week {number}; give a week from 1 to 52, or 53 in long years"
        ) from None
    start, end = (datetime.combine(day, time(), zone).astimezone(UTC) for day in (monday, following))
    return Week(year, number, timezone, start, end)


def week_containing(moment: datetime, timezone: str) -> tuple[int, int]:
    """(ISO year, week number) of a moment as the clocks of `timezone` show it. Raises ValueError like `iso_week`."""
    local = moment.astimezone(zone_of(timezone)).isocalendar()
    return local.year, local.week


def zone_of(timezone: str) -> ZoneInfo:
    """The IANA time zone. Raises ValueError naming it when there is none."""
    try:
        return ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"unknown time zone {timezone!r}; give an IANA name such as Europe/Madrid") from None
