"""Training configurations: dataclasses with a line per knob, read from `training/configs/<base>/<layer>.yaml`."""

from __future__ import annotations

import dataclasses
import difflib
import math
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from persona_training.cards import for_card
from persona_training.errors import RecipeError
from persona_training.hashing import sha256_json
from persona_training.yaml_text import read_yaml

T = TypeVar("T")

DEVICES = ("auto", "cpu", "cuda")
DTYPES = ("auto", "float32", "bfloat16", "float16")

LAYER_3 = 3
# numpy's generators, which the Trainer seeds too, take 32 bits without a sign.
LARGEST_SEED = 2**32 - 1
# Far beyond any batch of published fine-tuning; more is a slip, and would fill the memory before anything could be checked.
LARGEST_BATCH = 65_536
LARGEST_MAX_STEPS = 10_000_000
# The whole order is laid out before the first step, 8 bytes a conversation: this many take 0.8 GB.
LARGEST_ORDER = 100_000_000
# AdamW's first update is ten times the rate, which float32 cannot hold beyond 3.4e37; a run that diverges says so itself.
LARGEST_RATE = 1e30
LARGEST_EPOCHS = 100_000
# The machines with the most cores have fewer; OpenMP ends the process when it cannot start its threads.
LARGEST_THREADS = 4096
# What a float still tells apart, since knobs are divided by each other; sizes are held against the memory later.
LARGEST_WHOLE = 2**53


@dataclass(frozen=True)
class Lora:
    """The adapter's shape, in peft's names.

    Attributes:
        r: rank; higher holds more and forgets more.
        lora_alpha: scale; the update is multiplied by lora_alpha / r.
        lora_dropout: in [0, 1); regularises small datasets.
        target_modules: linear layers that get an adapter.
    """

    r: int
    lora_alpha: int
    lora_dropout: float
    target_modules: tuple[str, ...]

    def __post_init__(self) -> None:
        _require_finite(self, "lora.")
        _require(
            not isinstance(self.target_modules, str),
            "lora.target_modules must be a list of layer names, such as [q_proj, v_proj]",
        )
        _require(self.r >= 1, "lora.r must be at least 1")
        _require(self.lora_alpha > 0, "lora.lora_alpha must be above 0")
        _require(0 <= self.lora_dropout < 1, "lora.lora_dropout must be in [0, 1)")
        _require(bool(self.target_modules), "lora.target_modules must name at least one layer")


@dataclass(frozen=True)
class Steps:
    """The loop.

    Attributes:
        batch_size: conversations per forward pass.
        gradient_accumulation: forward passes per optimiser step; times batch_size at most 65,536.
        learning_rate: peak; linear warm-up, then cosine to zero.
        warmup_share: share of the steps spent warming up, in [0, 1).
        epochs: passes over the dataset, at most 100,000 (ignored when max_steps is set).
        max_steps: exact number of optimiser steps, at most 10 million, or None.
        weight_decay: AdamW's.
        max_grad_norm: gradients are clipped to this norm.
        eval_every: steps between evaluations of the val split; 0 evaluates at the end only.
        save_every: steps between checkpoints; a kill loses at most this much.
        gradient_checkpointing: recompute activations: less memory, about a third slower.
        patience: evaluations without a lower held-out loss before the run ends and the best weights are restored; 0 runs to
            the end and keeps the last weights. Needs eval_every.
    """

    batch_size: int
    learning_rate: float
    gradient_accumulation: int = 1
    warmup_share: float = 0.1
    epochs: float = 1.0
    max_steps: int | None = None
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    eval_every: int = 0
    save_every: int = 50
    gradient_checkpointing: bool = False
    patience: int = 0

    def __post_init__(self) -> None:
        _require_finite(self, "steps.")
        for name in ("batch_size", "gradient_accumulation", "save_every"):
            _require(getattr(self, name) >= 1, f"steps.{name} must be at least 1")
        for name in ("learning_rate", "epochs", "max_grad_norm"):
            _require(getattr(self, name) > 0, f"steps.{name} must be above 0")
        _require(self.max_steps is None or self.max_steps >= 1, "steps.max_steps must be at least 1")
        _require(0 <= self.warmup_share < 1, "steps.warmup_share must be in [0, 1)")
        _require(
            self.eval_every >= 0 and self.weight_decay >= 0, "steps.eval_every and weight_decay cannot be negative"
        )
        _require(self.patience >= 0, "steps.patience cannot be negative")
        _require(not self.patience or self.eval_every > 0, "steps.patience needs steps.eval_every above 0")
        _require(
            self.learning_rate <= LARGEST_RATE, f"steps.learning_rate must be at most {LARGEST_RATE:g}; usual is 1e-4"
        )
        self._require_bounded()

    def _require_bounded(self) -> None:
        per_step = self.batch_size * self.gradient_accumulation
        _require(
            per_step <= LARGEST_BATCH,
            f"steps.batch_size times steps.gradient_accumulation is {per_step:,} conversations a step; "
            f"at most {LARGEST_BATCH:,}: the order of all steps is kept in memory. Lower steps.batch_size",
        )
        _require(self.epochs <= LARGEST_EPOCHS, f"steps.epochs must be at most {LARGEST_EPOCHS:,}")
        steps = self.max_steps or 1
        _require(steps <= LARGEST_MAX_STEPS, f"steps.max_steps must be at most {LARGEST_MAX_STEPS:,}, not {steps:,}")
        _require(
            steps * per_step <= LARGEST_ORDER,
            f"steps.max_steps times {per_step:,} conversations a step must be at most {LARGEST_ORDER:,}: "
            "the order of all steps is kept in memory. Lower steps.max_steps or steps.batch_size",
        )


@dataclass(frozen=True)
class Recipe:
    """One layer's whole configuration.

    Attributes:
        name: shown in manifests, `<base>/<layer>`.
        layer: 1 personality, 2 episodic, 3 skill or preference.
        base_model: "tiny" (built here), a model folder, or a model hub id.
        lora, steps: see `Lora` and `Steps`.
        system_prompt: "keep" trains with the persona's prompt in every row, "omit" without.
        max_length: longest example in tokens; longer conversations are divided between turns.
        replay_share: share of personality rows mixed into each epoch of a later layer, in [0, 1).
        general_share: share of neutral rows, in the base's own words, mixed in beside them, in [0, 1): see `general`.
        objective: "sft" learns replies; "dpo" learns pairs (chosen over rejected), "kto" replies judged good or bad.
        beta: of dpo and kto: how far the new weights may go from the old ones; smaller goes further.
        packing: several conversations in one row of max_length, none seeing another: no padding.
        load_in_4bit: keep the base in 4 bits (NF4) while training: a quarter of the memory, slower, a little less exact.
        backend: "hf" (transformers and peft) or "unsloth".
        device: "auto", "cpu" or "cuda".
        dtype: "auto", "float32", "bfloat16" or "float16".
        threads: CPU threads, or None for torch's choice; 1 makes CPU runs repeatable and avoids spinning.
        seed: of weights, order, replay draw and dropout, from 0 to 2**32 - 1.
    """

    name: str
    layer: int
    base_model: str
    lora: Lora
    steps: Steps
    system_prompt: str = "keep"
    max_length: int = 2048
    replay_share: float = 0.0
    general_share: float = 0.0
    objective: str = "sft"
    beta: float = 0.1
    packing: bool = False
    load_in_4bit: bool = False
    backend: str = "hf"
    device: str = "auto"
    dtype: str = "auto"
    threads: int | None = None
    seed: int = 7

    def __post_init__(self) -> None:
        _require_finite(self, "")
        _require(0 <= self.seed <= LARGEST_SEED, f"seed must be from 0 to {LARGEST_SEED}, not {self.seed}")
        for name, allowed in (("device", DEVICES), ("dtype", DTYPES)):
            given = getattr(self, name)
            _require(given in allowed, f"{name} must be one of {', '.join(allowed)}, not {given!r}")
        _require(self.layer in (1, 2, 3), "layer must be 1 (personality), 2 (episodic) or 3 (skill or preference)")
        _require(self.objective in ("sft", "dpo", "kto"), "objective must be sft, dpo or kto")
        _require(self.objective == "sft" or self.layer == 3, "objective dpo and kto belong to layer 3")
        _require(self.objective == "sft" or not self.packing, "packing goes with objective sft only")
        _require(
            self.objective == "sft" or self.replay_share + self.general_share == 0,
            "replay_share and general_share go with objective sft only: dpo and kto hold on to the layer below by beta",
        )
        _require(self.beta > 0, "beta must be above 0")
        _require(self.system_prompt in ("keep", "omit"), "system_prompt must be keep or omit")
        _require(self.max_length >= 16, "max_length must be at least 16 tokens")
        _require(
            self.replay_share >= 0 and self.general_share >= 0, "replay_share and general_share cannot be negative"
        )
        _require(
            self.replay_share + self.general_share < 1, "replay_share and general_share must leave room for new rows"
        )
        _require(
            self.threads is None or 1 <= self.threads <= LARGEST_THREADS, f"threads must be from 1 to {LARGEST_THREADS}"
        )

    @property
    def kind(self) -> str:
        """What the adapter is, and the type of dataset it learns from."""
        if self.layer == LAYER_3:
            return "skill" if self.objective == "sft" else "preference"
        return {1: "personality", 2: "episodic"}[self.layer]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as manifests record them."""
        return dataclasses.asdict(self)

    @property
    def sha256(self) -> str:
        """Hash of every knob."""
        return sha256_json(self.as_dict())


def read_recipe(path: Path, card: int | None = None) -> Recipe:
    """Read a YAML configuration.

    Args:
        path: the file.
        card: one of the sizes in its `cards` section, see `cards`; None takes it as written.

    Raises:
        RecipeError: the file is missing, a knob is unknown, misspelt, missing or out of range.
    """
    try:
        values = read_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(
            f"No configuration at {path} ({error.strerror}). The shipped ones are in training/configs/."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid YAML: {error}") from error
    try:
        return recipe_from(for_card(values, card))
    except RecipeError as error:
        raise RecipeError(f"{path}: {error.message}") from error


def recipe_from(values: object) -> Recipe:
    """Build a recipe from plain values (YAML, or a manifest's `recipe.config`).

    Raises:
        RecipeError: see `read_recipe`.
    """
    known = dict(_known(Recipe, values, ""))
    known["lora"] = _build(Lora, known.get("lora"), "lora.")
    known["steps"] = _build(Steps, known.get("steps"), "steps.")
    return _build(Recipe, known, "")


def _build(kind: type[T], values: object, prefix: str) -> T:
    hints = typing.get_type_hints(kind)
    known = {name: _typed(hints[name], v, prefix + name) for name, v in _known(kind, values, prefix).items()}
    missing = [
        knob.name
        for knob in dataclasses.fields(kind)  # type: ignore[arg-type]
        if knob.default is dataclasses.MISSING and knob.name not in known
    ]
    if missing:
        raise RecipeError(f"missing: {', '.join(prefix + name for name in missing)}")
    return kind(**known)


def _typed(hint: Any, value: object, name: str) -> object:
    """The value as its knob's type. YAML reads 2e-4 (without a dot) as text, so text that is a number counts as one."""
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise RecipeError(f"{name} must be a list of names, such as [q_proj, v_proj], not {value!r}")
        return tuple(value)
    wanted = [part for part in (*typing.get_args(hint), hint) if part in (int, float, str, bool)]
    if not wanted or type(value) in wanted or (value is None and type(None) in typing.get_args(hint)):
        return value
    if float in wanted and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError) as error:
            raise RecipeError(f"{name} must be a number, not {value!s:.80}") from error
    raise RecipeError(f"{name} must be {' or '.join(part.__name__ for part in wanted)}, not {value!r}")


def _known(kind: type[Any], values: object, prefix: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        where = prefix.removesuffix(".") or "the file"
        told = "it has none" if values is None else f"not {values!r:.80}"
        raise RecipeError(f"{where} must hold named knobs (lines of `name: value`), {told}")
    names = [knob.name for knob in dataclasses.fields(kind)]
    for name in values:
        if name not in names:
            close = difflib.get_close_matches(str(name), names, 1)
            raise RecipeError(f"unknown knob {prefix}{name}" + (f"; did you mean {prefix}{close[0]}?" if close else ""))
    return values


def _require_finite(knobs: Any, prefix: str) -> None:
    for knob in dataclasses.fields(knobs):
        value = getattr(knobs, knob.name)
        if isinstance(value, float):
            _require(math.isfinite(value), f"{prefix}{knob.name} must be a finite number, not {value}")
        elif isinstance(value, int):
            _require(abs(value) <= LARGEST_WHOLE, f"{prefix}{knob.name} must be at most {LARGEST_WHOLE:,}")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise RecipeError(message)
