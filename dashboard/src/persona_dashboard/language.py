"""Spanish and English: the words of the interface (words/*.toml, both languages side by side) and how figures are written."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

from flask import Request

LANGUAGES = {"en": "English", "es": "Español"}
COOKIE = "casiopy_lang"
COOKIE_SECONDS = 365 * 24 * 3600
MONTHS = {
    "en": ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
    "es": ["ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic"],
}


@cache
def catalogue() -> dict[str, dict[str, str]]:
    """Every phrase: dotted name → language → text."""
    phrases: dict[str, dict[str, str]] = {}
    for path in sorted((Path(__file__).parent / "words").glob("*.toml")):
        for section, entries in tomllib.loads(path.read_text(encoding="utf-8")).items():
            phrases.update({f"{section}.{name}": texts for name, texts in entries.items()})
    return phrases


@dataclass(frozen=True)
class Words:
    """Phrases in one language."""

    language: str

    def __call__(self, name: str, **values: object) -> str:
        """The phrase of that name; an unknown name is a programming error and raises KeyError."""
        return catalogue()[name][self.language].format(**values)

    def maybe(self, name: str, otherwise: str) -> str:
        """The phrase if there is one, for words that come from outside (statuses, signals, stages)."""
        phrase = catalogue().get(name)
        return phrase[self.language] if phrase else otherwise


@dataclass(frozen=True)
class Numerals:
    """Figures, days and durations as one language writes them."""

    language: str

    def number(self, value: float | None, digits: int = 0) -> str:
        """A number with grouped thousands; a dash for none."""
        if value is None or not math.isfinite(value):
            return "–"
        text = f"{value:,.{digits}f}"
        if self.language == "es":
            text = text.translate({ord(","): "\u202f", ord("."): ","})
        return text.replace("-", "\u2212")

    def figure(self, value: float | None, plus: bool = False) -> str:
        """A measured figure with about three significant digits, e.g. a loss or a learning rate."""
        if value is None or not math.isfinite(value):
            return "–"
        sign = "+" if plus and value > 0 else ""
        size = abs(value)
        if size and (size < 0.001 or size >= 1e6):
            mantissa, exponent = f"{value:.1e}".split("e")
            return f"{sign}{self.number(float(mantissa), 1)}e{int(exponent)}".replace("e-", "e\u2212")
        return sign + self.number(value, 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 1 or not size else 3)

    def percent(self, share: float | None) -> str:
        """A share in [0, 1] as a whole percentage."""
        return "–" if share is None else f"{self.number(100 * share)} %"

    def day(self, day: date) -> str:
        """A day without its year."""
        return f"{day.day} {MONTHS[self.language][day.month - 1]}"

    def moment(self, moment: datetime | None) -> str:
        """A moment in this machine's time zone; the year only when it is not this one."""
        if moment is None:
            return "–"
        local = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone()
        year = "" if local.year == datetime.now(UTC).year else f" {local.year}"
        return f"{self.day(local)}{year}, {local:%H:%M}"

    def duration(self, seconds: float | None) -> str:
        """A length of time with two units at most."""
        if seconds is None or not math.isfinite(seconds):
            return "–"
        hours, rest = divmod(round(max(seconds, 0)), 3600)
        minutes, left = divmod(rest, 60)
        if hours:
            return f"{hours} h {minutes:02d} min"
        return f"{minutes} min {left:02d} s" if minutes else f"{left} s"


def choose_language(request: Request) -> str:
    """`?lang=`, else the cookie, else what the browser asks for, else English."""
    for wish in (request.args.get("lang"), request.cookies.get(COOKIE)):
        if wish in LANGUAGES:
            return wish
    return request.accept_languages.best_match(list(LANGUAGES)) or "en"
