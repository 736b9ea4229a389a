"""Layers alone as a GGUF LoRA file: megabytes beside a base that is served already, instead of a whole model every week.

The file holds, for each adapted matrix W, `W.lora_a` (rank, inputs) and `W.lora_b` (outputs, rank), and alpha; a reader adds
alpha / rank x B A. Rows of B for q and k follow the row order of the matrix they add to, see `to_gguf_order`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from persona_training.gguf_export.architecture import (
    GgufError,
    ModelShape,
    read_json,
    read_shape,
    tensor_names,
    to_gguf_order,
)
from persona_training.gguf_export.quantisation import Quantisation, encode
from persona_training.gguf_export.writing import written_whole

WEIGHTS_FILE, CONFIG_FILE = "adapter_model.safetensors", "adapter_config.json"
_TENSOR = re.compile(r"^(?:base_model\.model\.)?(?P<module>.+)\.lora_(?P<part>[AB])\.weight$")
# Ways of adapting that a GGUF LoRA cannot say.
_UNSUPPORTED = ("use_dora", "rank_pattern", "alpha_pattern", "modules_to_save", "lora_bias", "fan_in_fan_out")


@dataclass(frozen=True)
class WrittenAdapter:
    """What was written: where, how large, how many matrices it adapts, and their common rank."""

    path: Path
    size: int
    matrices: int
    rank: int


def write_gguf_adapter(
    adapter_dir: Path, base_dir: Path, target: Path, *, name: str, quantisation: Quantisation = Quantisation.F32
) -> WrittenAdapter:
    """Write the adapter in `adapter_dir` (a stack is joined first) to `target`, which appears only when it is complete.

    Args:
        adapter_dir: `adapter_model.safetensors` and `adapter_config.json` as peft saves them.
        base_dir: the model folder it belongs on, for its architecture and shapes; weights are not read.
        target: the file to write; replaced if it exists.
        name: `general.name` in the file.
        quantisation: F32 or F16.

    Raises:
        GgufError: the base cannot be carried, or the adapter is no plain LoRA on matrices of this base.
    """
    if quantisation not in (Quantisation.F32, Quantisation.F16):
        raise GgufError(f"A LoRA file is written as F32 or F16, not {quantisation}.")
    shape = read_shape(base_dir)
    config = _config(adapter_dir)
    pairs = _pairs(adapter_dir, shape)
    with written_whole(target, shape.architecture) as writer:
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_name(name)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, _alpha(config))
        for ours, (a, b) in pairs.items():
            theirs = tensor_names(shape)[ours]
            writer.add_tensor(f"{theirs}.lora_a", encode(f"{ours} A", a, quantisation))
            writer.add_tensor(f"{theirs}.lora_b", encode(f"{ours} B", to_gguf_order(ours, b, shape), quantisation))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    return WrittenAdapter(target, target.stat().st_size, len(pairs), int(config["r"]))


def _config(adapter_dir: Path) -> dict[str, Any]:
    path = adapter_dir / CONFIG_FILE
    if not path.is_file() or not (adapter_dir / WEIGHTS_FILE).is_file():
        raise GgufError(f"No adapter in {adapter_dir}: it needs {CONFIG_FILE} and {WEIGHTS_FILE}.")
    config = read_json(path)
    if not all(isinstance(config.get(name), int | float) and config[name] > 0 for name in ("r", "lora_alpha")):
        raise GgufError(f"{path} says no rank and alpha: it is damaged.")
    used = [name for name in _UNSUPPORTED if config.get(name)]
    if used:
        raise GgufError(
            f"The adapter uses {', '.join(used)}, which a GGUF LoRA cannot carry; deploy it merged instead."
        )
    return config


def _alpha(config: dict[str, Any]) -> float:
    """What a reader divides by the rank. rsLoRA scales by alpha / sqrt(rank) (Kalajdzievski 2023, arXiv 2312.03732)."""
    alpha, rank = float(config["lora_alpha"]), int(config["r"])
    return alpha * math.sqrt(rank) if config.get("use_rslora") else alpha


def _pairs(adapter_dir: Path, shape: ModelShape) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """transformers' name of each adapted matrix to its A and B, in the model's order."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    found: dict[str, dict[str, NDArray[np.float32]]] = {}
    try:
        tensors = load_file(adapter_dir / WEIGHTS_FILE)
    except SafetensorError as error:
        raise GgufError(f"{adapter_dir / WEIGHTS_FILE} cannot be read: {error}. It is damaged.") from error
    for key, tensor in tensors.items():
        match = _TENSOR.match(key)
        if match is None:
            raise GgufError(f"The adapter holds {key}, which is no matrix of a plain LoRA; deploy it merged instead.")
        found.setdefault(f"{match['module']}.weight", {})[match["part"]] = tensor.float().numpy()
    matrices = [name for name in tensor_names(shape) if "_proj.weight" in name]
    unknown = sorted(set(found) - set(matrices))
    if unknown or not found:
        what = f"adapts {', '.join(unknown[:3])}" if unknown else "is empty"
        raise GgufError(f"The adapter {what}; only q, k, v, o, gate, up and down of this base can be carried.")
    return {name: _checked(name, found[name], shape) for name in matrices if name in found}


def _checked(
    name: str, parts: dict[str, NDArray[np.float32]], shape: ModelShape
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if set(parts) != {"A", "B"}:
        raise GgufError(f"The adapter holds only half of {name}: it is damaged.")
    a, b = parts["A"], parts["B"]
    wanted = _dimensions(name, shape)
    if (b.shape[0], a.shape[1]) != wanted or b.shape[1] != a.shape[0]:
        raise GgufError(
            f"The adapter's {name} is for {(b.shape[0], a.shape[1])}, this base has {wanted}: another base."
        )
    return a, b


def _dimensions(name: str, shape: ModelShape) -> tuple[int, int]:
    q, kv = shape.num_attention_heads * shape.head_dim, shape.num_key_value_heads * shape.head_dim
    hidden, wide = shape.hidden_size, shape.intermediate_size
    sizes = {"q": (q, hidden), "k": (kv, hidden), "v": (kv, hidden), "o": (hidden, q)}
    sizes |= {"gate": (wide, hidden), "up": (wide, hidden), "down": (hidden, wide)}
    return sizes[name.removesuffix("_proj.weight").rpartition(".")[2]]
