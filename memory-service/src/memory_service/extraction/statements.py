"""What a message says about its author, field by field. Pure."""

from dataclasses import dataclass
from typing import Literal

# Who reads a message: never both, and never the one in place of the other unasked.
Extractor = Literal["rules", "model"]


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing the author says of themself.

    Attributes:
        field: a name of `memories.profile.FIELDS`.
        value: text, whole number or truth value; for a field that is a list, one item of it.
        negated: True when the author says that it does not (or no longer) hold: "ya no vivo en Madrid".
        confidence: 0 to 1.
        evidence: the words of the message it was read from.
    """

    field: str
    value: str | int | bool
    negated: bool = False
    confidence: float = 1.0
    evidence: str = ""
