"""What the gate asks: whoever learned from it would pass by heart, so no dataset may hold any of it."""

from __future__ import annotations

from collections.abc import Iterable

from persona_training.evaluation.battery import load_battery
from persona_training.evaluation.battery_source import shipped_names


def gate_prompts(batteries: Iterable[str] = ()) -> list[str]:
    """The prompts, viewers' lines and held-out texts of every shipped battery and of those named, each once, in order.

    Raises:
        BatteryError: one of the named ones is missing or malformed.
    """
    return sorted({text for name in [*shipped_names(), *batteries] for text in load_battery(name).kept_out})
