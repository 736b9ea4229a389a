"""How much GPU memory a recipe will take on a base, before anything is loaded: arithmetic over `config.json` alone.

What is counted, and from where:

* Weights: every matrix of the architecture. In 4 bits (NF4 with double quantisation) a weight costs 4.127 bits, and
  embedding and head stay whole, in the run's number format (Dettmers et al. 2023, arXiv 2305.14314, section 3).
* Adapter: rank x (inputs + outputs) weights per adapted matrix (Hu et al. 2021, arXiv 2106.09685), in float32, with one
  gradient and AdamW's two moments: 16 bytes each.
* Activations: what one decoder layer keeps for its backward pass, after Korthikanti et al. 2022 (arXiv 2205.05198,
  section 4), without the attention matrix, which flash attention never stores; written out for gated MLPs and LoRA in
  `_kept_per_token`. With checkpointing only each layer's input is kept (Unsloth moves that to main memory) and one layer
  at a time is computed again. The tests hold this against the bytes autograd really keeps.
* Logits: float32 logits, their log-softmax and its gradient, 12 bytes per token and vocabulary entry; measured at the
  allocator with transformers 5.17. Unsloth computes the loss in chunks.

Logits and the layer computed again are not needed at the same moment; both are counted, because PyTorch's allocator keeps
the blocks of both. Figures are bytes of 10**9 to the gigabyte; a card sold as "8 GB" holds `card_bytes(8)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from persona_training.cards import USABLE_SHARE, card_bytes
from persona_training.config import Lora, Recipe
from persona_training.errors import RecipeError

ARCHITECTURES = ("llama", "mistral", "qwen2", "qwen3")
# Bits of one NF4 weight: 4, and one 8-bit scale per 64 weights, and one 32-bit scale per 256 of those.
NF4_BYTES = (4 + 8 / 64 + 32 / (64 * 256)) / 8
# CUDA's context, kernels and cuBLAS workspaces of one process; PyTorch forum reports and nvidia-smi give 0.4 to 0.6 GB.
FRAMEWORK_BYTES = 550_000_000
LOGIT_BYTES = 12
# Tokens whose logits Unsloth holds at a time; it takes more while memory is free, so this is its least.
UNSLOTH_LOGIT_ROWS = 256
# A layer computed again also holds the gradients on their way through it; measured 1.43 at the allocator.
RECOMPUTED = 1.45
# transformers reads a model file by file; a file of the hub holds at most about 5 GB.
SHARD_BYTES = 5_000_000_000
DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Estimate:
    """Peak memory of a run.

    Attributes:
        total_bytes: on the GPU (on the CPU: in main memory), the sum of `parts`.
        parts: bytes by what takes them.
        host_bytes: main memory while loading; a parent layer is merged there, in whole weights, before quantising.
    """

    total_bytes: int
    parts: dict[str, int]
    host_bytes: int

    def fits(self, card_gb: float) -> bool:
        """Whether a card of that many GB, as sold, has room, with the share kept free that every card needs."""
        return self.total_bytes <= USABLE_SHARE * card_bytes(card_gb)

    def sentence(self) -> str:
        """The total and its largest parts, for display."""
        largest = sorted(self.parts.items(), key=lambda part: -part[1])[:3]
        return f"about {self.total_bytes / 1e9:.1f} GB: " + ", ".join(f"{name} {n / 1e9:.1f}" for name, n in largest)


@dataclass(frozen=True)
class Shape:
    """What of a transformers config decides memory; matrices are (inputs, outputs) by peft's module names."""

    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    matrices: dict[str, tuple[int, int]]
    biases: int
    norms: int
    tied: bool

    @property
    def parameters(self) -> int:
        """All weights of the model."""
        return self.linear + self.whole

    @property
    def linear(self) -> int:
        """Weights of all decoder matrices."""
        return self.layers * sum(rows * columns for rows, columns in self.matrices.values())

    @property
    def whole(self) -> int:
        """Weights that are never quantised: embedding, head, norms, biases."""
        tables = (1 if self.tied else 2) * self.vocabulary * self.hidden
        return tables + self.layers * (self.norms + self.biases) + self.hidden


def trainable_count(base_config: Mapping[str, Any], lora: Lora) -> int:
    """Parameters of an adapter of that shape.

    Raises:
        RecipeError: see `estimate`; or the adapter names a layer this architecture lacks.
    """
    shape = read_shape(base_config)
    return shape.layers * lora.r * sum(sum(shape.matrices[name]) for name in _targets(shape, lora))


def estimate(base_config: Mapping[str, Any], recipe: Recipe, *, parents: int = 0) -> Estimate:
    """Peak memory of training `recipe` on the model with this configuration.

    Args:
        base_config: the base's config.json. A `quantization_config` in it is ignored.
        recipe: dtype "auto" counts as bfloat16, and as float32 with device "cpu".
        parents: finished layers merged into the base before the new adapter is added.

    Raises:
        RecipeError: the architecture is not known here, a figure is missing, or a target module does not exist.
    """
    shape = read_shape(base_config)
    size = DTYPE_BYTES[_dtype(recipe)]
    quantised = recipe.load_in_4bit
    plain = recipe.backend == "hf"
    # A pair is read as two conversations; a judged reply as one: of those it is weighed against, nothing is kept.
    tokens = recipe.steps.batch_size * recipe.max_length * (2 if recipe.objective == "dpo" else 1)
    trained = trainable_count(base_config, recipe.lora)
    largest = max(rows * columns for rows, columns in shape.matrices.values())
    parts = {
        "base weights": round(shape.linear * (NF4_BYTES if quantised else size) + shape.whole * size),
        "adapter weights": 4 * trained,
        "adapter gradients": 4 * trained,
        "optimiser state": 8 * trained,
        "activations": _activations(shape, recipe, size, tokens),
        "logits": LOGIT_BYTES * shape.vocabulary * (tokens if plain else min(tokens, UNSLOTH_LOGIT_ROWS)),
        # One matrix at a time is unpacked to be multiplied with.
        "framework": FRAMEWORK_BYTES + (size * largest if quantised else 0),
    }
    weights = size * shape.parameters
    host = weights + 4 * largest if parents else weights
    if quantised and not parents:
        host = min(weights, SHARD_BYTES)
    return Estimate(sum(parts.values()), parts, host)


def read_shape(base_config: Mapping[str, Any]) -> Shape:
    """The figures that decide memory.

    Raises:
        RecipeError: see `estimate`.
    """
    kind = base_config.get("model_type")
    if kind not in ARCHITECTURES:
        raise RecipeError(
            f"The memory of architecture {kind!r} cannot be estimated; known are {', '.join(ARCHITECTURES)}. "
            "Try it with --max-steps 2."
        )
    figures = ("hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers", "vocab_size")
    try:
        hidden, intermediate, heads, layers, vocabulary = (int(base_config[name]) for name in figures)
    except KeyError as missing:
        raise RecipeError(f"The base model's config.json lacks {missing}: it is not complete.") from missing
    head = int(base_config.get("head_dim") or hidden // heads)
    q, kv = heads * head, int(base_config.get("num_key_value_heads") or heads) * head
    return Shape(
        layers=layers,
        hidden=hidden,
        intermediate=intermediate,
        vocabulary=vocabulary,
        matrices={
            "q_proj": (hidden, q),
            "k_proj": (hidden, kv),
            "v_proj": (hidden, kv),
            "o_proj": (q, hidden),
            "gate_proj": (hidden, intermediate),
            "up_proj": (hidden, intermediate),
            "down_proj": (intermediate, hidden),
        },
        biases=q + 2 * kv if kind == "qwen2" else 0,
        norms=2 * hidden + (2 * head if kind == "qwen3" else 0),
        tied=bool(base_config.get("tie_word_embeddings", False)),
    )


def _activations(shape: Shape, recipe: Recipe, size: int, tokens: int) -> int:
    kept = _kept_per_token(shape, recipe.lora, size)
    if not recipe.steps.gradient_checkpointing:
        return tokens * shape.layers * kept
    if recipe.backend != "hf":  # checkpoints wait in main memory, and gradients overwrite what they are computed from
        return tokens * kept
    return tokens * (shape.layers * size * shape.hidden + round(RECOMPUTED * kept))


def _kept_per_token(shape: Shape, lora: Lora, size: int) -> int:
    """Bytes one decoder layer keeps per token until its backward pass."""
    (_, q), (_, kv) = shape.matrices["q_proj"], shape.matrices["k_proj"]
    norms = 2 * 4 * shape.hidden  # both norms keep their input in float32
    attention = size * (2 * q + 2 * kv)  # q, k, v and the result
    mlp = size * 3 * shape.intermediate  # gate, its activation, up
    targets = _targets(shape, lora)
    inputs = sum(shape.matrices[name][0] for name in targets)
    adapters = size * (inputs + lora.r * len(targets))  # each adapter keeps its own copy of what it read
    return norms + attention + mlp + adapters + (inputs if lora.lora_dropout else 0)  # a dropout mask is one byte


def _targets(shape: Shape, lora: Lora) -> list[str]:
    unknown = [name for name in lora.target_modules if name not in shape.matrices]
    if unknown:
        raise RecipeError(
            f"lora.target_modules names {', '.join(unknown)}; this architecture has {', '.join(shape.matrices)}."
        )
    return list(lora.target_modules)


def _dtype(recipe: Recipe) -> str:
    if recipe.dtype != "auto":
        return recipe.dtype
    return "float32" if recipe.device == "cpu" else "bfloat16"
