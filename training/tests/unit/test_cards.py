"""Every shipped recipe fits every card it names, and the choice of a card is said with its reason."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from persona_training.cards import USABLE_SHARE, card_bytes, choose_card, for_card
from persona_training.cli import main
from persona_training.config import Recipe, read_recipe
from persona_training.errors import RecipeError
from persona_training.memory_estimate import estimate

CONFIGS = Path(__file__).parents[2] / "configs"
RECIPES = sorted(path for path in CONFIGS.glob("*/*.yaml") if path.parent.name != "tiny")
SIZES = (8, 12, 16, 24)


def shape(kind: str, hidden: int, intermediate: int, layers: int, vocabulary: int, **more: Any) -> dict[str, Any]:
    heads = {"num_attention_heads": 32, "num_key_value_heads": 8}
    sizes = {"hidden_size": hidden, "intermediate_size": intermediate, "num_hidden_layers": layers}
    return {"model_type": kind, "vocab_size": vocabulary, **heads, **sizes, **more}


# What decides memory in the config.json of each base.
LLAMA_3_1_8B = shape("llama", 4096, 14336, 32, 128256)
BASES = {
    "hermes-3-llama-3.1-8b": LLAMA_3_1_8B,
    "llama-3.1-8b": LLAMA_3_1_8B,
    "mistral-7b": shape("mistral", 4096, 14336, 32, 32768),
    "qwen3-4b": shape("qwen3", 2560, 9728, 36, 151936, head_dim=128, tie_word_embeddings=True),
    "qwen3-8b": shape("qwen3", 4096, 12288, 36, 151936, head_dim=128),
}
TOO_SMALL = {("qwen3-8b", 8)}


def bases_of(path: Path, card: int) -> list[str]:
    """A base's own recipes are for it; those of preferences are for all, on 8 GB for the two that fit."""
    if path.parent.name != "preference":
        return [path.parent.name]
    return ["mistral-7b", "qwen3-4b"] if card == 8 else list(BASES)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_card_is_named_and_fits(path: Path) -> None:
    written = read_recipe(path)
    for card in SIZES:
        if (path.parent.name, card) in TOO_SMALL:
            with pytest.raises(RecipeError, match=r"too small.*take qwen3-4b"):
                read_recipe(path, card)
            continue
        recipe = read_recipe(path, card)
        for base in bases_of(path, card):
            needed = estimate(BASES[base], recipe, parents=recipe.layer - 1)
            assert needed.fits(card), f"{base} on {card} GB: {needed.sentence()}"
        assert rows_a_step(recipe) == rows_a_step(written) == 16
        assert recipe.steps.learning_rate == written.steps.learning_rate
        assert recipe.name == written.name
    assert read_recipe(path, 24) == written


def rows_a_step(recipe: Recipe) -> int:
    return recipe.steps.batch_size * recipe.steps.gradient_accumulation


def test_every_base_has_the_three_layers_and_preferences_are_general() -> None:
    layers = {"episodic.yaml", "personality.yaml", "skill.yaml"}
    assert {path.parent.name: layers for path in RECIPES if path.parent.name != "preference"} == dict.fromkeys(
        BASES, layers
    )
    assert {path.name for path in RECIPES if path.parent.name == "preference"} == {"dpo.yaml", "kto.yaml"}
    for base in BASES:
        personality = read_recipe(CONFIGS / base / "personality.yaml")
        for layer, general in (("episodic", 0.05), ("skill", 0.1)):
            later = read_recipe(CONFIGS / base / f"{layer}.yaml")
            assert later.lora.r < personality.lora.r
            assert later.steps.learning_rate < personality.steps.learning_rate
            assert (later.replay_share, later.general_share) == (0.25, general)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_knob_says_what_it_costs(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    silent = {"name", "layer", "base_model", "objective", "target_modules", "lora", "steps"}
    for previous, line in itertools.pairwise(lines):
        knob = line.strip().partition(":")[0]
        if line.strip() and not line.startswith("#") and knob not in silent and not line.strip().startswith("#"):
            assert "  # " in line or previous.strip().startswith("#"), f"{path}: {knob} has no comment"


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(VALUES), encoding="utf-8")
    return path


VALUES: dict[str, Any] = {
    "name": "x",
    "layer": 1,
    "base_model": "tiny",
    "max_length": 2048,
    "lora": {"r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "target_modules": ["q_proj"]},
    "steps": {"batch_size": 2, "learning_rate": 0.1},
    "cards": {8: "take a smaller base", 12: {"max_length": 1024, "steps": {"batch_size": 1}}, 24: {}},
}


def test_a_card_changes_what_it_names_and_nothing_else(recipe_file: Path) -> None:
    small, written = read_recipe(recipe_file, 12), read_recipe(recipe_file)
    assert (small.max_length, small.steps.batch_size, small.steps.learning_rate) == (1024, 1, 0.1)
    assert (written.max_length, written.steps.batch_size) == (2048, 2)
    assert read_recipe(recipe_file, 24) == written
    assert VALUES["max_length"] == 2048
    with pytest.raises(RecipeError, match="too small: take a smaller base"):
        read_recipe(recipe_file, 8)
    with pytest.raises(RecipeError, match="16 GB; there are: 8, 12, 24 GB"):
        read_recipe(recipe_file, 16)


@pytest.mark.parametrize(
    ("cards", "message"),
    [
        ({8: {"seed": 1}}, "seed does not decide memory"),
        ({8: {"steps": {"learning_rate": 1}}}, r"steps\.learning_rate does not decide memory"),
        ({"8": {}}, "'8' is no card size"),
        ({8: 3}, "must hold knobs"),
        ([8], "cards must hold sizes"),
    ],
)
def test_wrong_sizes_are_named(cards: object, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        for_card({**VALUES, "cards": cards}, 8)


@pytest.mark.parametrize("steps", [None, "fast"])
def test_a_size_over_a_section_that_is_none_leaves_the_section_to_be_refused(steps: object) -> None:
    written = for_card({**VALUES, "steps": steps}, 12)
    assert isinstance(written, dict)
    assert (written["steps"], written["max_length"]) == (steps, 1024)


def test_the_choice_follows_what_was_asked_then_what_is_free(recipe_file: Path, tmp_path: Path) -> None:
    free = round(card_bytes(12) * USABLE_SHARE)
    assert choose_card(recipe_file, 16, None) == (12, "settings for 12 GB: asked for 16")
    assert choose_card(recipe_file, None, None) == (None, "no GPU: the recipe as written")
    assert choose_card(recipe_file, None, free) == (12, "settings for 12 GB: 11.0 GB of the GPU's memory are free")
    assert choose_card(recipe_file, None, free - 2**30)[0] == 8
    assert choose_card(recipe_file, None, card_bytes(80))[0] == 24
    with pytest.raises(RecipeError, match=r"Only 4\.0 GB .* begins at a card of 8 GB"):
        choose_card(recipe_file, None, 4 * 2**30)
    with pytest.raises(RecipeError, match="no settings for a card of 6 GB; there are: 8, 12, 24"):
        choose_card(recipe_file, 6, None)
    plain = tmp_path / "plain.yaml"
    plain.write_text("name: x\n", encoding="utf-8")
    assert choose_card(plain, None, free) == (None, "")
    with pytest.raises(RecipeError, match="leave out --card"):
        choose_card(plain, 8, None)


def test_a_recipe_for_the_cpu_asks_no_gpu_for_its_memory(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe_file.write_text(yaml.safe_dump({**VALUES, "device": "cpu"}), encoding="utf-8")
    asked: list[str] = []

    def memory(device: str, _: Path) -> int | None:
        asked.append(device)
        return None if device == "cpu" else 1

    monkeypatch.setattr("persona_training.training_command.memory_for_next_run", memory)
    monkeypatch.setenv("EXPORTS_DIR", str(tmp_path))
    for device in ([], ["--device", "cuda"]):
        command = ["train-personality", "--recipe", str(recipe_file), "--dataset", "none", *device]
        said = CliRunner().invoke(main, command).output
        assert ("begins at a card of 8 GB" in " ".join(said.split())) == bool(device)
    assert asked == ["cpu", "cuda"]


@pytest.mark.parametrize(
    ("recipe", "card", "message"),
    [
        ("hermes-3-llama-3.1-8b/personality.yaml", "6", "no settings for a card of 6 GB; there are: 8, 12, 16, 24 GB"),
        ("qwen3-8b/personality.yaml", "10", "a card of 8 GB is too small: its vocabulary alone"),
        ("tiny/personality.yaml", "8", "leave out --card"),
    ],
)
def test_the_command_says_what_a_card_lacks(recipe: str, card: str, message: str) -> None:
    command = ["train-personality", "--recipe", str(CONFIGS / recipe), "--card", card, "--dataset", "x"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert message in " ".join(result.output.split())
