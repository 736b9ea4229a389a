"""What the measures may look at besides the replies: the probes, the dialogues, the training replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from persona_training.evaluation.battery import Battery, Dialogue, Probe

Values = NDArray[np.float64]
# Texts to vectors of length 1: float32 (texts, dimension).
Embed = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True)
class Exam:
    """Everything the measures know beside what the models said.

    Attributes:
        battery: markers, phrases, neutral replies, corpora.
        probes: the probes asked, in the order of all transcripts.
        dialogues: the dialogues held, in the order of all transcripts.
        training_replies: the character's replies in the dataset, each once; empty when it is not at hand.
        embed: None where no embedding model is to be had.
    """

    battery: Battery
    probes: Sequence[Probe]
    dialogues: Sequence[Dialogue] = ()
    training_replies: Sequence[str] = ()
    embed: Embed | None = None
