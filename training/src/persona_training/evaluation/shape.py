"""The outline of a reply: how long it is and whether it asks back."""

from __future__ import annotations

from persona_training.evaluation.words import words


def length_in_words(reply: str) -> float:
    """Words in the reply, stage directions included; 0 for an empty one."""
    return float(len(words(reply)))


def asks(reply: str) -> float:
    """1.0 when the reply holds a question mark, else 0.0."""
    return float("?" in reply)
