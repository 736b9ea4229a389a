"""What can stop a draft or a check."""

from __future__ import annotations

from persona_training.errors import PersonaTrainingError


class ProbesError(PersonaTrainingError):
    """No battery can be drafted or checked; the message says why and what to do."""
