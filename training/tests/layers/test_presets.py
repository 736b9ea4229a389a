"""Every shipped recipe takes two real steps, on every card it names, on a small random model of its base's architecture.

Two things a CPU cannot do are put back to their plain form: a base in 4 bits (the opt-in test below takes such steps where
CUDA and bitsandbytes are) and Unsloth (its own tests compare it with the plain backend). Every other knob is as shipped.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from persona_training.backends import choose_backend
from persona_training.backends.backend import Job, Step
from persona_training.chat_template import IGNORED, Example
from persona_training.config import Recipe, read_recipe
from persona_training.errors import RecipeError
from persona_training.hardware import choose_hardware
from persona_training.preferences import JudgedReply, PreferencePair
from persona_training.schedule import Learnable, Schedule
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

pytestmark = pytest.mark.training

CONFIGS = Path(__file__).parents[2] / "configs"
VOCABULARY = 64
STEPS = 2
# A model this small learns the same from rows a fraction as long, and the test stays quick.
SHORTER = 32
ARCHITECTURE = {
    "hermes-3-llama-3.1-8b": "llama",
    "llama-3.1-8b": "llama",
    "mistral-7b": "mistral",
    "qwen3-4b": "qwen3",
    "qwen3-8b": "qwen3",
    "tiny": "llama",
}
KINDS = sorted(set(ARCHITECTURE.values()))


def cards_of(path: Path) -> Iterator[tuple[str, Recipe]]:
    for card in (None, 8, 12, 16, 24):
        try:
            yield "as written" if card is None else f"{card} GB", read_recipe(path, card)
        except RecipeError as refusal:
            assert "too small" in refusal.message or "no settings for a card" in refusal.message  # noqa: PT017


def on_cpu(recipe: Recipe) -> Recipe:
    """The recipe for a short run here. What decides how well it learns, not how it runs, is made the same in all."""
    steps = dataclasses.replace(
        recipe.steps,
        max_steps=STEPS,
        gradient_accumulation=min(recipe.steps.gradient_accumulation, 2),
        learning_rate=1e-3,
        epochs=1.0,
    )
    return dataclasses.replace(
        recipe,
        name="x",
        base_model="x",
        layer=min(recipe.layer, 2) if recipe.objective == "sft" else 3,
        replay_share=0.0,
        general_share=0.0,
        system_prompt="keep",
        device="cpu",
        dtype="float32",
        threads=1,
        steps=steps,
        load_in_4bit=False,
        backend="hf",
    )


def different_recipes() -> dict[str, tuple[str, Recipe]]:
    """Name to architecture and recipe; recipes that differ in nothing that changes how a CPU runs them are taken once."""
    found: dict[str, tuple[str, Recipe]] = {}
    seen: set[tuple[str, str]] = set()
    for path in sorted(CONFIGS.glob("*/*.yaml")):
        general = path.parent.name not in ARCHITECTURE  # for any base: its cards take turns with the architectures
        for card, (size, recipe) in enumerate(cards_of(path)):
            kind = KINDS[card % len(KINDS)] if general else ARCHITECTURE[path.parent.name]
            small = on_cpu(recipe)
            if (kind, small.sha256) not in seen:
                seen.add((kind, small.sha256))
                found[f"{path.parent.name}/{path.stem} {kind} {size}"] = (kind, small)
    return found


RECIPES = different_recipes()


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Architecture to a random base's folder and that of a layer 1 on it."""
    return {kind: _random_base(kind, tmp_path_factory.mktemp(kind)) for kind in KINDS}


def _random_base(kind: str, folder: Path) -> tuple[Path, Path]:
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = AutoConfig.for_model(kind, **shape, head_dim=8, num_hidden_layers=1, vocab_size=VOCABULARY, pad_token_id=0)
    from_config: Any = AutoModelForCausalLM.from_config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = from_config(config)
        model.save_pretrained(folder / "base")
        lora = LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
        get_peft_model(model, lora).save_pretrained(str(folder / "layer_1"))
    return folder / "base", folder / "layer_1"


def _examples(recipe: Recipe) -> list[Learnable]:
    rng = random.Random(recipe.seed)

    def example() -> Example:
        tokens = tuple(rng.randrange(1, VOCABULARY) for _ in range(rng.randint(6, recipe.max_length // SHORTER)))
        return Example(tokens, (IGNORED,) * 4 + tokens[4:])

    rows = STEPS * recipe.steps.batch_size * recipe.steps.gradient_accumulation
    if recipe.objective == "dpo":
        return [PreferencePair(example(), example()) for _ in range(rows)]
    if recipe.objective == "kto":
        return [JudgedReply(example(), desirable=row % 2 == 0) for row in range(rows)]
    return [example() for _ in range(rows)]


class Watch:
    """Keeps the steps."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def stage(self, name: str) -> None:
        pass

    def step(self, step: Step) -> None:
        self.steps.append(step)

    def should_stop(self) -> bool:
        return False


def take_steps(recipe: Recipe, base: tuple[Path, Path], out_dir: Path) -> None:
    """Train, and check that every adapted matrix has moved."""
    rows = _examples(recipe)
    job = Job(
        base_dir=base[0],
        parents=[] if recipe.layer == 1 else [base[1]],
        recipe=recipe,
        schedule=Schedule(tuple(rows), STEPS, len(rows)),
        val=rows[:1],
        hardware=choose_hardware(recipe.device, recipe.dtype),
        out_dir=out_dir,
        checkpoint=None,
    )
    watch = Watch()
    outcome = choose_backend(recipe.backend).train(job, watch)
    assert (outcome.steps, outcome.interrupted) == (STEPS, False)
    assert [step.step for step in watch.steps if step.loss is not None] == [1, 2]
    weights = load_file(out_dir / "adapter_model.safetensors")
    moved = [tensor for name, tensor in weights.items() if "lora_B" in name]
    assert len(moved) == len(recipe.lora.target_modules)
    assert all(tensor.shape[1] == recipe.lora.r and tensor.abs().max() > 0 for tensor in moved)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_takes_two_steps_on_every_card(
    name: str, bases: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    kind, recipe = RECIPES[name]
    take_steps(recipe, bases[kind], tmp_path)


@pytest.mark.opt_in
@pytest.mark.parametrize("kind", KINDS)
def test_a_base_in_four_bits_takes_two_steps(kind: str, bases: dict[str, tuple[Path, Path]], tmp_path: Path) -> None:
    if not torch.cuda.is_available() or importlib.util.find_spec("bitsandbytes") is None:
        pytest.skip("4-bit steps need a CUDA GPU and the package bitsandbytes; this machine lacks one of them")
    base = {"llama": "llama-3.1-8b", "mistral": "mistral-7b", "qwen3": "qwen3-4b"}[kind]
    recipe = read_recipe(CONFIGS / base / "episodic.yaml", 12)
    steps = dataclasses.replace(recipe.steps, max_steps=STEPS, gradient_accumulation=1)
    take_steps(dataclasses.replace(recipe, steps=steps), bases[kind], tmp_path)
