"""What the operator asked of a week."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from persona_training.evaluation.battery import SHIPPED
from persona_training.weekly.calendar_week import IsoWeek

# Half of one step of the shipped 8B recipes (16 conversations): below it a week is a handful of replies, learned by heart.
MIN_ROWS = 8
# 80 prompts x 4 replies see a change of one margin on most metrics; twice as many cost twice the time and see little more.
PROMPTS, SAMPLES = 80, 4


@dataclass(frozen=True)
class Order:
    """See the command's options; None is what the stage's own command takes when nothing is said."""

    week: IsoWeek
    timezone: str = "Europe/Madrid"
    persona: str | None = None
    min_quality: float | None = None
    min_rows: int = MIN_ROWS
    recipe: Path | None = None
    parent: str | None = None
    device: str | None = None
    allow_personal_data: str | None = None
    battery: str = SHIPPED
    baseline: str | None = None
    prompts: int | None = PROMPTS
    samples: int = SAMPLES
    host: str | None = None
    quantize: str = "Q8_0"
    form: str = "merged"
