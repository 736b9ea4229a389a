"""Models in this process, loaded when first needed, and as many at a time as there is room for."""

from __future__ import annotations

from persona_training.display import Display
from persona_training.errors import PersonaTrainingError
from persona_training.evaluation.cast import Weights
from persona_training.generation import TransformersReplier, load_transformers_replier

# Four voices of an 8B model are 64 GB. A model above this size is loaded for its turn in each round and then dropped: reading
# 16 GB from a warm disk cache takes seconds, its round of replies minutes.
ROOM_BYTES = 1 << 30


class Models:
    """The models of one gate.

    Small ones stay; a large one takes the place of the one before it.
    """

    def __init__(self, display: Display) -> None:
        self._display = display
        self._loaded: dict[Weights, TransformersReplier] = {}

    def of(self, weights: Weights) -> TransformersReplier:
        """The model of these weights.

        Raises:
            PersonaTrainingError: it does not fit into memory, or a file is not what it should be.
        """
        import torch

        if weights not in self._loaded:
            if weights.bytes > ROOM_BYTES and self._loaded:
                self._loaded.clear()
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
            try:
                self._loaded[weights] = load_transformers_replier(
                    weights.base.folder, weights.adapters, name=weights.name, omit_system=weights.omit_system
                )
            except torch.OutOfMemoryError as error:
                raise _no_room(weights) from error
            if weights.bytes > ROOM_BYTES:
                self._display.fact(
                    "memory", f"{weights.name} is loaded alone: its base has {weights.bytes / 1e9:.0f} GB"
                )
        return self._loaded[weights]


def _no_room(weights: Weights) -> PersonaTrainingError:
    return PersonaTrainingError(
        f"{weights.name} does not fit into this GPU's memory ({weights.bytes / 1e9:.0f} GB for the base alone). Close what "
        "else uses it, or deploy to Ollama under a tag and judge that: it serves a quantised model."
    )
