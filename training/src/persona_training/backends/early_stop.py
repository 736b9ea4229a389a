"""Ending a run when the held-out loss no longer falls, and going back to the weights that had the lowest.

The best weights are kept in memory and lie in every checkpoint, so a resumed run knows what the uninterrupted one knew.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from persona_training.adapters import write_json

if TYPE_CHECKING:
    import torch

BEST_WEIGHTS, BEST = "best.safetensors", "best.json"


@dataclass
class Best:
    """The lowest held-out loss so far.

    Attributes:
        patience: evaluations without a lower loss before the run ends; 0 keeps nothing and never ends it.
        step: of the lowest loss, None before the first evaluation.
        loss: mean nats per learned token.
        worse: evaluations since.
        weights: the adapter's at that step, on the CPU.
    """

    patience: int
    step: int | None = None
    loss: float | None = None
    worse: int = 0
    weights: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def exhausted(self) -> bool:
        """True when the run is to end here."""
        return 0 < self.patience <= self.worse

    def offer(self, step: int, loss: float, model: torch.nn.Module) -> None:
        """Take note of an evaluation; a loss that is not a number is no lower one."""
        if not self.patience:
            return
        if loss < (float("inf") if self.loss is None else self.loss):
            self.step, self.loss, self.worse = step, loss, 0
            self.weights = {name: _kept(weight) for name, weight in _trainable(model).items()}
        else:
            self.worse += 1

    def restore(self, model: torch.nn.Module) -> None:
        """Put the best weights back into the model."""
        import torch

        with torch.no_grad():
            for name, weight in _trainable(model).items():
                if name in self.weights:
                    weight.copy_(self.weights[name])

    def save(self, checkpoint: Path) -> None:
        """Write into a checkpoint that is not sealed yet."""
        from safetensors.torch import save_file

        if not self.patience:
            return
        save_file(self.weights, checkpoint / BEST_WEIGHTS)
        write_json(checkpoint / BEST, {"step": self.step, "loss": self.loss, "worse": self.worse})

    @classmethod
    def of(cls, patience: int, checkpoint: Path | None) -> Best:
        """What a run begins with: nothing, or what its checkpoint knows."""
        from safetensors.torch import load_file

        if not patience or checkpoint is None or not (checkpoint / BEST).is_file():
            return cls(patience)
        known = json.loads((checkpoint / BEST).read_text(encoding="utf-8"))
        return cls(patience, known["step"], known["loss"], known["worse"], load_file(checkpoint / BEST_WEIGHTS))


def _trainable(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def _kept(weight: torch.nn.Parameter) -> torch.Tensor:
    copy: torch.Tensor = weight.detach().cpu().clone()
    return copy
