"""What one model said in an examination, and how likely it found what it should find likely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Transcript:
    """One model's part of an examination. Every measure takes nothing else from a model, so that it can be taken again later.

    Attributes:
        name: of the model.
        replies: probes x samples; every probe has the same number of samples.
        turns: dialogues x samples x turns: her answer to each of the viewer's lines; empty when no dialogue was held.
        persona_loss: nats per token of each of the battery's held-out persona replies; None where the serving path cannot tell.
        general_loss: the same for the battery's general texts.
        seconds: how long it took, wall time.
    """

    name: str
    replies: Sequence[Sequence[str]]
    turns: Sequence[Sequence[Sequence[str]]] = ()
    persona_loss: Sequence[float] | None = None
    general_loss: Sequence[float] | None = None
    seconds: float = 0.0

    @property
    def samples(self) -> int:
        """Replies per probe."""
        return len(self.replies[0]) if self.replies else 0
