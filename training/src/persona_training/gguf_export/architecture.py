"""Which models can be carried, what their tensors are called in GGUF, and the row order GGUF wants for q and k."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from persona_training.errors import PersonaTrainingError


class GgufError(PersonaTrainingError):
    """A model cannot be written as GGUF; the message names the feature in the way and what to do."""


# transformers' model_type to GGUF's architecture. Mistral differs from Llama in name only once its window is open.
ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}


@dataclass(frozen=True)
class ModelShape:
    """The figures of a model, under the names the transformers config gives them.

    `architecture` is GGUF's. `rope_factors` is empty, or holds what each rotary frequency is divided by (Llama 3.1's
    stretching of long contexts).
    """

    architecture: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope_theta: float
    tie_word_embeddings: bool
    rope_factors: tuple[float, ...] = ()


def read_json(path: Path) -> dict[str, Any]:
    """The object in a model's or adapter's JSON file.

    Raises:
        GgufError: it cannot be read, or holds none.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GgufError(f"{path} cannot be read: {error}. Copy or download it again.") from error
    if not isinstance(found, dict):
        raise GgufError(f"{path} holds no JSON object. Copy or download it again.")
    return found


def read_shape(model_dir: Path) -> ModelShape:
    """The shape of the model in a folder.

    Raises:
        GgufError: no config.json or a poor one, another architecture, or a feature this version does not carry.
    """
    path = model_dir / "config.json"
    if not path.is_file():
        raise GgufError(f"No config.json in {model_dir}: give the folder of a merged model.")
    try:
        return _shape(read_json(path))
    except (KeyError, TypeError, ValueError) as error:
        raise GgufError(f"{path} does not describe a whole model ({error!r}).") from error


def _shape(config: dict[str, Any]) -> ModelShape:
    _refuse_unsupported(config)
    heads = int(config["num_attention_heads"])
    rope: dict[str, Any] = (config.get("rope_scaling") or {}) | (
        config.get("rope_parameters") or {}
    )  # old and new name
    theta = float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0)
    head_dim = int(config.get("head_dim") or int(config["hidden_size"]) // heads)
    return ModelShape(
        architecture=ARCHITECTURES[config["model_type"]],
        vocab_size=int(config["vocab_size"]),
        hidden_size=int(config["hidden_size"]),
        intermediate_size=int(config["intermediate_size"]),
        num_hidden_layers=int(config["num_hidden_layers"]),
        num_attention_heads=heads,
        num_key_value_heads=int(config.get("num_key_value_heads") or heads),
        head_dim=head_dim,
        max_position_embeddings=int(config["max_position_embeddings"]),
        rms_norm_eps=float(config.get("rms_norm_eps", 1e-6)),
        rope_theta=theta,
        tie_word_embeddings=bool(config.get("tie_word_embeddings", False)),
        rope_factors=llama3_factors(rope, theta, head_dim) if _rope_kind(rope) == "llama3" else (),
    )


def _rope_kind(rope: dict[str, Any]) -> str:
    return str(rope.get("rope_type") or rope.get("type") or "default")


def llama3_factors(rope: dict[str, Any], theta: float, head_dim: int) -> tuple[float, ...]:
    """What Llama 3.1 divides each rotary frequency by: 1 for short waves, `factor` for long ones, a blend in between.

    Raises:
        GgufError: the configuration lacks one of the four values this needs.
    """
    names = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    try:
        factor, low, high, trained = (float(rope[name]) for name in names)
    except KeyError as error:
        raise GgufError(
            f"config.json names the rope type llama3 without {error}: it is not a complete model."
        ) from error
    factors = []
    for i in range(0, head_dim, 2):
        waves = trained / (2 * math.pi * theta ** (i / head_dim))  # wave lengths that fit the context it was trained on
        blend = min(max((waves - low) / (high - low), 0.0), 1.0)
        factors.append(1.0 / ((1.0 - blend) / factor + blend))
    return tuple(factors)


def _refuse_unsupported(config: dict[str, Any]) -> None:
    kind = config.get("model_type")
    if kind not in ARCHITECTURES:
        raise GgufError(
            f"The architecture {kind!r} cannot be written as GGUF yet; {', '.join(ARCHITECTURES)} can. "
            "Convert the merged folder with llama.cpp's own script and deploy that file with --gguf."
        )
    for feature, present in _unsupported(config).items():
        if present:
            raise GgufError(
                f"This {kind} model uses {feature}, which this version cannot carry into GGUF faithfully. "
                "Convert it with llama.cpp's own script and deploy that file with --gguf."
            )


def _unsupported(config: dict[str, Any]) -> dict[str, bool]:
    """Features the file could not say, and whether this model has them."""
    ropes = [config.get("rope_parameters") or {}, config.get("rope_scaling") or {}]  # newer and older name
    rope_kinds = {_rope_kind(rope) for rope in ropes} - {"default", "llama3"}
    window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    return {
        "attention_bias": bool(config.get("attention_bias")),
        "mlp_bias": bool(config.get("mlp_bias")),
        f"rope type {', '.join(sorted(rope_kinds))}": bool(rope_kinds),
        f"hidden_act {config.get('hidden_act')!r}": config.get("hidden_act", "silu") != "silu",
        "quantization_config": config.get("quantization_config") is not None,
        "partial_rotary_factor": any(float(rope.get("partial_rotary_factor") or 1.0) != 1.0 for rope in ropes),
        f"a sliding_window of {window}": window is not None and int(window) < int(config["max_position_embeddings"]),
    }


_LAYER_TENSORS = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
# What an architecture has besides: biases of q, k and v, or a norm over each head of q and k.
_EXTRA_TENSORS = {
    "llama": {},
    "qwen2": {f"self_attn.{part}_proj.bias": f"attn_{part}.bias" for part in "qkv"},
    "qwen3": {f"self_attn.{part}_norm.weight": f"attn_{part}_norm.weight" for part in "qk"},
}


def tensor_names(shape: ModelShape) -> dict[str, str]:
    """transformers name to GGUF name, for every tensor the model must have, in the order they are written."""
    names = {"model.embed_tokens.weight": "token_embd.weight"}
    for layer in range(shape.num_hidden_layers):
        for ours, theirs in _LAYER_TENSORS.items():
            names[f"model.layers.{layer}.{ours}.weight"] = f"blk.{layer}.{theirs}.weight"
        for ours, theirs in _EXTRA_TENSORS[shape.architecture].items():
            names[f"model.layers.{layer}.{ours}"] = f"blk.{layer}.{theirs}"
    names["model.norm.weight"] = "output_norm.weight"
    if not shape.tie_word_embeddings:
        names["lm_head.weight"] = "output.weight"
    return names


def to_gguf_order(name: str, weight: NDArray[np.float32], shape: ModelShape) -> NDArray[np.float32]:
    """Rows of q and k in the order GGUF rotates them; every other tensor unchanged.

    transformers rotates the two halves of a head against each other, GGUF's Llama rotates neighbouring rows, so within each
    head row i of the first half and row i of the second half become neighbours. Qwen's are rotated by halves in both.
    """
    heads = _rotated_heads(name, shape)
    if heads is None:
        return weight
    rows, columns = weight.shape
    paired = weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2)
    return np.ascontiguousarray(paired.reshape(rows, columns))


def _rotated_heads(name: str, shape: ModelShape) -> int | None:
    if shape.architecture != "llama":
        return None
    if name.endswith("self_attn.q_proj.weight"):
        return shape.num_attention_heads
    if name.endswith("self_attn.k_proj.weight"):
        return shape.num_key_value_heads
    return None
