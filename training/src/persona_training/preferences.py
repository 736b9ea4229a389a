"""Examples that say which reply is better: what dpo and kto learn from, beside sft's plain conversations."""

from __future__ import annotations

from dataclasses import dataclass

from persona_training.chat_template import Example


@dataclass(frozen=True)
class PreferencePair:
    """Two replies to the same conversation; in both, the labels cover that last reply alone."""

    chosen: Example
    rejected: Example

    @property
    def length(self) -> int:
        """Tokens of the longer one."""
        return max(self.chosen.length, self.rejected.length)


@dataclass(frozen=True)
class JudgedReply:
    """One reply and whether it was liked; the labels cover that reply alone."""

    example: Example
    desirable: bool

    @property
    def length(self) -> int:
        """Tokens in all."""
        return self.example.length
