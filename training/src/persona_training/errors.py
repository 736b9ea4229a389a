"""One error base: what happened and what to do, shown by every command without a traceback."""

from __future__ import annotations

import click


class PersonaTrainingError(click.ClickException):
    """Something the operator can put right; the message says how. Exit code 1."""


class DatasetError(PersonaTrainingError):
    """A dataset is missing, empty or malformed."""


class RecipeError(PersonaTrainingError):
    """A training configuration has an unknown knob or a value out of range."""


class BaseModelError(PersonaTrainingError):
    """The base model is absent or incomplete."""


class AdapterError(PersonaTrainingError):
    """An adapter is missing, unfinished, or does not belong on this base or parent."""


class TemplateError(PersonaTrainingError):
    """The chat template does not let us find the assistant's words in the rendered text."""


class StorageError(PersonaTrainingError):
    """The disk is full or the folder cannot be written."""
