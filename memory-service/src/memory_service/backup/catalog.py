"""Which backups there are, what their names say, and which are no longer needed. Reads names only, never contents."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

Kind = Literal["hourly", "daily", "weekly"]
KINDS: tuple[Kind, ...] = ("hourly", "daily", "weekly")

# How many hours, days, weeks and months stay. Counted over those that have a backup: after a month of silence the
# last week of backups is still there.
HOURS, DAYS, WEEKS, MONTHS = 24, 7, 4, 6

_NAME = re.compile(r"memory_(hourly|daily|weekly)_(\d{8}_\d{6})\.(dump|tar)(\.age)?")
_STAMP = "%Y%m%d_%H%M%S"


@dataclass(frozen=True)
class Backup:
    """One finished backup: a file with its checksum beside it."""

    path: Path
    kind: Kind
    taken_at: datetime
    base: bool
    sealed: bool

    @property
    def checksum_path(self) -> Path:
        """The sidecar `sha256sum --check` reads."""
        return self.path.with_name(f"{self.path.name}.sha256")


def file_name(kind: Kind, taken_at: datetime, *, base: bool, sealed: bool) -> str:
    """Name of a backup taken at `taken_at` (UTC)."""
    return f"memory_{kind}_{taken_at.astimezone(UTC):{_STAMP}}.{'tar' if base else 'dump'}{'.age' if sealed else ''}"


def parse(path: Path) -> Backup | None:
    """What `path`'s name says; None for a file that is no backup of ours."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    try:
        taken_at = datetime.strptime(match[2], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
    kind = next(kind for kind in KINDS if kind == match[1])
    return Backup(path, kind, taken_at, base=match[3] == "tar", sealed=match[4] is not None)


def finished(folder: Path) -> list[Backup]:
    """Backups below `folder` that have their checksum, newest first."""
    found = (parse(path) for kind in KINDS for path in (folder / kind).glob("memory_*"))
    return sorted(
        (backup for backup in found if backup is not None and backup.checksum_path.exists()),
        key=lambda backup: (backup.taken_at, backup.kind),
        reverse=True,
    )


def expired(backups: Iterable[Backup], kind: Kind) -> list[Backup]:
    """Those of `kind` that may go. The newest backup is never among them."""
    own = sorted(
        (backup for backup in backups if backup.kind == kind), key=lambda backup: backup.taken_at, reverse=True
    )
    match kind:
        case "hourly":
            keep = _within(own, HOURS, lambda at: (at.date(), at.hour))
        case "daily":
            keep = _within(own, DAYS, lambda at: at.date())
        case "weekly":
            newest_of_month = {backup.taken_at.strftime("%Y%m"): backup for backup in reversed(own)}
            months = sorted(newest_of_month)[-MONTHS:]
            keep = _within(own, WEEKS, lambda at: at.isocalendar()[:2]) | {
                newest_of_month[month].path for month in months
            }
    return [backup for backup in own if backup.path not in keep]


def _within(newest_first: list[Backup], periods: int, period: Callable[[datetime], object]) -> set[Path]:
    kept_periods = list(dict.fromkeys(period(backup.taken_at) for backup in newest_first))[:periods]
    return {backup.path for backup in newest_first if period(backup.taken_at) in kept_periods}
