"""The commands this package adds to `casiopy`.

Command modules import click and the standard library only; torch and transformers are imported when a command runs,
so that `casiopy --help` answers at once.
"""

from __future__ import annotations

import importlib
from typing import NamedTuple

import click


class CommandAt(NamedTuple):
    """Where a command lives: `attribute` of `module`."""

    module: str
    attribute: str


COMMANDS = (
    CommandAt("persona_training.tiny.command", "tiny"),
    CommandAt("persona_training.training_command", "train_personality"),
    CommandAt("persona_training.training_command", "train_episodic"),
    CommandAt("persona_training.training_command", "train_skill"),
    CommandAt("persona_training.training_command", "train_preference"),
    CommandAt("persona_training.joining_command", "join"),
    CommandAt("persona_training.exporting.command", "export"),
    CommandAt("persona_training.evaluation.command", "gate"),
    CommandAt("persona_training.probes.command", "probes"),
    CommandAt("persona_training.evaluation.pin_command", "pin"),
    CommandAt("persona_training.ollama.command", "deploy"),
    CommandAt("persona_training.weekly.command", "week"),
    CommandAt("persona_training.doctor", "doctor"),
)


def _load(place: CommandAt) -> click.Command:
    command = getattr(importlib.import_module(place.module), place.attribute)
    if not isinstance(command, click.Command):
        raise TypeError(f"{place.module}.{place.attribute} is not a click command")
    return command


commands: list[click.Command] = [_load(place) for place in COMMANDS]


@click.group()
def main() -> None:
    """Train, prove and deploy the layers of a character."""


for _command in commands:
    main.add_command(_command)
