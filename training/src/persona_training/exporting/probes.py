"""The gate's prompts: whoever learned from them would pass it by heart, so no dataset may hold one."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources

from persona_training.evaluation.battery import load_battery


def gate_prompts(batteries: Iterable[str] = ()) -> list[str]:
    """The prompts of every shipped battery and of those named, each once, in order.

    Raises:
        BatteryError: one of the named ones is missing or malformed.
    """
    folder = resources.files("persona_training.evaluation") / "batteries"
    shipped = sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    found = (probe.prompt for name in [*shipped, *batteries] for probe in load_battery(name).probes)
    return sorted(dict.fromkeys(found))
