"""What the operator asked of a week."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from persona_training.evaluation.battery import SHIPPED
from persona_training.preflight_rows import MINIMUM_ROWS
from persona_training.weekly.calendar_week import IsoWeek

_FLAGS = {"skills": "skill", "form": "as"}  # where the option is not called as the attribute


@dataclass(frozen=True)
class Order:
    """See the command's options; None is what the stage's own command takes when nothing is said.

    Attributes:
        skills: layers 3 to serve beside the week; empty for those that are live, ("none",) for none.
        min_rows: fewer rows are nothing to learn; by default what training itself needs for a layer 2.
        no_deploy: stop after the gate.
    """

    week: IsoWeek
    timezone: str = "Europe/Madrid"
    persona: str | None = None
    min_quality: float | None = None
    min_rows: int = MINIMUM_ROWS[2]
    recipe: Path | None = None
    parent: str | None = None
    device: str | None = None
    allow_personal_data: str | None = None
    battery: str = SHIPPED
    baseline: str | None = None
    prompts: int | None = None
    samples: int = 4
    skills: tuple[str, ...] = ()
    host: str | None = None
    quantize: str = "Q8_0"
    form: str = "merged"
    no_deploy: bool = False

    def command(self) -> str:
        """This order as it is typed in a shell, without what goes without saying."""
        return shlex.join(["casiopy", "week", *self._options()])

    def _options(self) -> Iterator[str]:
        yield from ("--week", str(self.week.number), "--year", str(self.week.year))
        for one in fields(self)[1:]:
            value = getattr(self, one.name)
            if value == one.default:
                continue
            flag = f"--{_FLAGS.get(one.name, one.name).replace('_', '-')}"
            for given in value if isinstance(value, tuple) else [value]:
                yield flag
                if given is not True:
                    yield str(given)
