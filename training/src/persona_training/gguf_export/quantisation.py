"""F32, F16 or Q8_0. One-dimensional tensors (norms) stay F32: they are tiny and everything passes through them."""

from __future__ import annotations

from enum import StrEnum

import gguf
import numpy as np
from numpy.typing import NDArray

from persona_training.gguf_export.architecture import GgufError

_F16_MAX = 65_504.0
_Q8_BLOCK = 32


class Quantisation(StrEnum):
    """How two-dimensional tensors are stored. Q8_0 costs 8.5 bits a weight."""

    F32 = "F32"
    F16 = "F16"
    Q8_0 = "Q8_0"


FILE_TYPES = {
    Quantisation.F32: gguf.LlamaFileType.ALL_F32,
    Quantisation.F16: gguf.LlamaFileType.MOSTLY_F16,
    Quantisation.Q8_0: gguf.LlamaFileType.MOSTLY_Q8_0,
}


def stored_type(columns: int, dimensions: int, wanted: Quantisation) -> Quantisation:
    """What a tensor is stored as: F32 for norms, F16 where a row is no multiple of Q8_0's block of 32, else as wanted."""
    if dimensions == 1:
        return Quantisation.F32
    if wanted is Quantisation.Q8_0 and columns % _Q8_BLOCK:
        return Quantisation.F16
    return wanted


def encode(name: str, weight: NDArray[np.float32], stored: Quantisation) -> NDArray[np.generic]:
    """The tensor's bytes as an array, ready to be written.

    Raises:
        GgufError: the tensor holds NaN or infinity, or does not fit F16.
    """
    if not np.isfinite(weight).all():
        raise GgufError(f"The tensor {name} holds NaN or infinity: this model is broken, train it again.")
    if stored is Quantisation.F32:
        return weight
    if stored is Quantisation.F16:
        if float(np.abs(weight).max(initial=0.0)) > _F16_MAX:
            raise GgufError(f"The tensor {name} does not fit F16 (a value above {_F16_MAX:g}): use --quantize F32.")
        return weight.astype(np.float16)
    quantised: NDArray[np.generic] = gguf.quants.quantize(weight, gguf.GGMLQuantizationType.Q8_0)
    return quantised
