"""Every shipped recipe is valid; every wrong knob is named."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from persona_training.cards import choose_card
from persona_training.config import read_recipe, recipe_from
from persona_training.errors import RecipeError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*/*.yaml"))


def values(**changes: Any) -> dict[str, Any]:
    lora = {"r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "target_modules": ["q_proj"]}
    return {
        "name": "x",
        "layer": 1,
        "base_model": "tiny",
        "lora": lora,
        "steps": {"batch_size": 2, "learning_rate": 0.1},
        **changes,
    }


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_shipped_recipes_are_valid_and_say_how_to_run_them(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.name == f"{path.parent.name}/{path.stem}"
    layers = {"personality": 1, "episodic": 2, "skill": 3, "preference": 3, "dpo": 3, "kto": 3}
    assert recipe.layer == layers[path.stem]
    assert recipe.replay_share == (0.25 if recipe.kind in ("episodic", "skill") else 0)
    header = path.read_text(encoding="utf-8").split("name:")[0]
    assert re.search(rf"--(recipe|config) training/configs/{path.parent.name}/{path.name}\b", header)


@pytest.mark.parametrize(
    "base", sorted(path.parent for path in CONFIGS if path.stem == "personality"), ids=lambda path: path.name
)
def test_later_layers_are_smaller_and_gentler_than_layer_1(base: Path) -> None:
    personality, *later = (read_recipe(base / f"{name}.yaml") for name in ("personality", "episodic", "skill"))
    for recipe in later:
        assert recipe.lora.r < personality.lora.r
        assert recipe.steps.learning_rate < personality.steps.learning_rate


def test_a_recipe_survives_a_manifest() -> None:
    for path in CONFIGS:
        recipe = read_recipe(path)
        again = recipe_from(yaml.safe_load(json.dumps(recipe.as_dict())))
        assert again == recipe
        assert again.sha256 == recipe.sha256


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (values(laier=2), "did you mean layer"),
        (values(layer=4), "layer must be 1"),
        (values(system_prompt="drop"), "keep or omit"),
        (values(replay_share=1.0), "replay_share"),
        (values(lora={"r": 8}), "lora"),
        (values(lora={"r": 0, "lora_alpha": 1, "lora_dropout": 0, "target_modules": ["a"]}), r"lora\.r must"),
        (values(steps={"batch_size": 0, "learning_rate": 1}), r"steps\.batch_size"),
        (values(steps={"batch_size": 1, "learning_rate": 0}), r"steps\.learning_rate"),
        (values(steps={"batch_size": 1, "learning_rate": 1, "epocs": 2}), r"did you mean steps\.epochs"),
        (values(steps={"batch_size": 1, "learning_rate": "fast"}), r"steps\.learning_rate must be a number"),
        (values(steps={"batch_size": "many", "learning_rate": 1}), r"steps\.batch_size must be int"),
        (values(steps={"batch_size": [2], "learning_rate": 1}), r"steps\.batch_size must be int"),
        (values(steps={"batch_size": None, "learning_rate": 1}), r"steps\.batch_size must be int, not None"),
        (values(steps={"batch_size": 1, "learning_rate": float("inf")}), r"steps\.learning_rate must be a finite"),
        (values(steps={"batch_size": 1, "learning_rate": float("nan")}), r"steps\.learning_rate must be a finite"),
        (values(steps={"batch_size": 1, "learning_rate": ".inf"}), r"steps\.learning_rate must be a number"),
        (values(steps={"batch_size": 1, "learning_rate": "1e999"}), r"steps\.learning_rate must be a finite"),
        (values(steps={"batch_size": 1, "learning_rate": 1e300}), r"steps\.learning_rate must be at most 1e\+30"),
        (values(replay_share=float("nan")), "replay_share must be a finite number, not nan"),
        (values(general_share=float("inf")), "general_share must be a finite"),
        (values(layer=3, objective="dpo", beta=float("inf")), "beta must be a finite"),
        (values(steps={"batch_size": 100_000_000, "learning_rate": 1, "max_steps": 2}), "Lower steps.batch_size"),
        (values(steps={"batch_size": 512, "gradient_accumulation": 129, "learning_rate": 1}), "66,048 conversations"),
        (values(steps={"batch_size": 1, "learning_rate": 1, "max_steps": 10_000_001}), r"at most 10,000,000"),
        (values(steps={"batch_size": 64, "learning_rate": 1, "max_steps": 9_000_000}), r"steps\.max_steps times 64"),
        (values(steps={"batch_size": 1, "learning_rate": 1, "epochs": 1e30}), r"steps\.epochs must be at most"),
        (values(steps={"batch_size": 1, "learning_rate": 10**400}), r"steps\.learning_rate must be a number, not 1000"),
        (values(threads=10**30), "threads must be at most"),
        (values(threads=5000), "threads must be from 1 to 4096"),
        (values(lora={**values()["lora"], "lora_alpha": 10**400}), r"lora\.lora_alpha must be at most"),
        (values(steps=5), r"^steps must hold named knobs .*, not 5$"),
        ({**values(), "lora": "r"}, r"^lora must hold named knobs .*, not 'r'$"),
        (
            values(lora={**values()["lora"], "target_modules": "q_proj"}),
            r"target_modules must be a list .* not 'q_proj'",
        ),
        (values(lora={**values()["lora"], "target_modules": [1]}), r"target_modules must be a list"),
        (values(seed=-1), "seed must be from 0 to 4294967295, not -1"),
        (values(seed=2**32), "seed must be from 0 to 4294967295"),
        (values(seed=None), "seed must be int, not None"),
        (values(dtype="float23"), "^dtype must be one of auto, float32, bfloat16, float16, not 'float23'$"),
        (values(device="gpu"), "^device must be one of auto, cpu, cuda, not 'gpu'$"),
        ({"layer": 1, "lora": values()["lora"], "steps": values()["steps"]}, "missing: name, base_model"),
        ([1, 2], "named knobs"),
    ],
)
def test_wrong_knobs_are_named(given: object, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe_from(given)


def test_a_rate_written_without_a_dot_is_a_number() -> None:
    steps = yaml.safe_load("{batch_size: 1, learning_rate: 2e-4}")
    assert recipe_from(values(steps=steps)).steps.learning_rate == 0.0002


def test_the_ends_of_what_is_allowed_are_allowed() -> None:
    assert recipe_from(values(seed=2**32 - 1)).seed == 2**32 - 1
    steps = {"batch_size": 256, "gradient_accumulation": 256, "learning_rate": 1e30}
    assert recipe_from(values(seed=0, steps=steps)).steps.gradient_accumulation == 256


def test_a_missing_or_broken_file_is_said_so(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [", encoding="utf-8")
    with pytest.raises(RecipeError, match="not valid YAML"):
        read_recipe(broken)
    broken.write_text("lora:\n  r: 8\n  alpha: 16\n  r: 64\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"the key 'r' stands there twice(.|\n)*line 4"):
        read_recipe(broken)
    broken.write_text("name: 2026-13-45\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="not valid YAML"):
        read_recipe(broken)
    broken.write_text("packing: !!bool perhaps\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="not valid YAML"):
        read_recipe(broken)
    broken.write_bytes("name: año\n".encode("latin-1"))
    assert choose_card(broken, None, None) == (None, "")
    with pytest.raises(RecipeError, match="not valid YAML: 'utf-8' codec"):
        read_recipe(broken)
    with pytest.raises(RecipeError, match="No configuration"):
        read_recipe(tmp_path / "none.yaml")
