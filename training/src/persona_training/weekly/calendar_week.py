"""Which ISO week is meant, as the clocks of one time zone see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from persona_training.errors import PersonaTrainingError


class WeekError(PersonaTrainingError):
    """There is no such week or zone, or the week is not over. Exit code 2, like every wrong option."""

    exit_code = 2


@dataclass(frozen=True, order=True)
class IsoWeek:
    """An ISO week: Monday 00:00 to the next Monday 00:00."""

    year: int
    number: int

    def __str__(self) -> str:
        """As ISO 8601 writes it: "2026-W47"."""
        return f"{self.year}-W{self.number:02d}"

    @property
    def monday(self) -> date:
        """Its first day."""
        return date.fromisocalendar(self.year, self.number, 1)

    @property
    def sunday(self) -> date:
        """Its last day."""
        return self.monday + timedelta(days=6)


def last_complete_week(moment: datetime, timezone: str) -> IsoWeek:
    """The week before the one that `moment` lies in.

    Raises:
        WeekError: there is no such time zone.
    """
    year, number, _ = (moment.astimezone(_zone(timezone)).date() - timedelta(days=7)).isocalendar()
    return IsoWeek(year, number)


def chosen_week(number: int | None, year: int | None, moment: datetime, timezone: str) -> tuple[IsoWeek, str]:
    """The week an operator means, and why it is that one.

    Args:
        number: None takes the last complete week.
        year: None takes the latest year in which that week has begun.
        moment: now, with a time zone.
        timezone: IANA name.

    Raises:
        WeekError: a year without a week, a week the year does not have or that is not over yet, or no such time zone.
    """
    if number is None:
        if year is not None:
            raise WeekError("--year goes with --week: which week of that year?")
        return last_complete_week(moment, timezone), f"the last complete one in {timezone}"
    zone = _zone(timezone)
    today = moment.astimezone(zone).date()
    week = _existing(number, year) if year is not None else _latest(number, today)
    ends = datetime.combine(week.sunday + timedelta(days=1), time(), zone)
    if moment < ends:
        raise WeekError(
            f"{week} is not over before {ends:%d %B %Y, %H:%M} ({timezone}). What is said until then would never be learned: "
            "wait, or try the single commands (casiopy export --week …)."
        )
    return week, "as asked"


def _existing(number: int, year: int) -> IsoWeek:
    week = IsoWeek(year, number)
    try:
        week.monday  # noqa: B018 (raises where the year has no such week)
    except ValueError:
        raise WeekError(f"Year {year} has no ISO week {number}; give 1 to 52, or 53 in long years.") from None
    return week


def _latest(number: int, today: date) -> IsoWeek:
    """The newest week of that number that has begun; week 53 may lie some years back."""
    for year in range(today.year + 1, today.year - 8, -1):
        try:
            week = _existing(number, year)
        except WeekError:
            continue
        if week.monday <= today:
            return week
    raise WeekError(f"There is no ISO week {number}; give 1 to 53.")


def _zone(timezone: str) -> ZoneInfo:
    try:
        return ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise WeekError(
            f"Unknown time zone {timezone!r}; give an IANA name such as Europe/Madrid (on Windows: pip install tzdata)."
        ) from None


def now_here() -> datetime:
    """This moment, with a time zone."""
    return datetime.now(UTC)
