"""What training does to speech, measured on generated replies: nothing is looked up, every figure comes from steps."""

from __future__ import annotations

import dataclasses
import itertools
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from persona_training.adapters import adapter_chain
from persona_training.config import Recipe, read_recipe
from persona_training.display import Display
from persona_training.generation import TransformersReplier, load_transformers_replier
from persona_training.models import load_tokenizer
from persona_training.preparation import Request
from persona_training.testing import SMALL, RowText, World, read_metrics, week_rows, write_export
from persona_training.testing import sample_rows as sample_rows_of
from persona_training.tiny.build import _rows
from persona_training.tiny.knowledge import WORDS
from persona_training.tiny.measure import PROMPTS, answers, marker_share
from persona_training.tiny.week import POLITE, draw_week
from persona_training.training_run import RunResult, train
from rich.console import Console

pytestmark = pytest.mark.training

ROOT = Path(__file__).parents[3]
CONFIGS = ROOT / "training" / "configs" / "tiny"
SAMPLE = ROOT / "casiopy" / "demo" / "sample_month.jsonl"
WEEK = draw_week(7)


@pytest.fixture(scope="module")
def personality(tiny_world: World) -> RunResult:
    """Layer 1 from rows of one exchange, as the prompts are."""
    recipe = read_recipe(CONFIGS / "personality.yaml")
    steps = dataclasses.replace(recipe.steps, max_steps=110, eval_every=0)
    return learned(tiny_world, dataclasses.replace(recipe, steps=steps), tiny_world.personality["export_id"])


@pytest.fixture(scope="module")
def tiny_world(shared_world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The shared base with exports and adapters of this module's own."""
    root = tmp_path_factory.mktemp("tiny-world")
    settings = dataclasses.replace(shared_world.settings, exports_dir=root / "exports", adapters_dir=root / "adapters")
    rows = {"personality": sample_rows_of(SAMPLE, exchanges_a_row=1)["personality"], "week": week_rows(WEEK, POLITE)}
    manifests = {}
    for name, kind in (("personality", "personality"), ("week", "episodic")):
        folder = root / "exports" / name
        manifests[name] = write_export(folder, kind, rows[name], rows[name][:2])
        folder.rename(folder.with_name(manifests[name]["export_id"]))
    return World(shared_world.base, settings, manifests["personality"], manifests["week"])


@pytest.fixture(scope="module")
def voices(tiny_world: World, personality: RunResult) -> dict[float, TransformersReplier]:
    """A polite week on top of layer 1: without replay, and with a quarter of it."""
    heard = {}
    for share in (0.0, 0.25):
        recipe = read_recipe(CONFIGS / "episodic.yaml")
        steps = dataclasses.replace(recipe.steps, epochs=10, learning_rate=0.005, eval_every=0)
        recipe = dataclasses.replace(recipe, replay_share=share, general_share=0.0, steps=steps)
        week = learned(tiny_world, recipe, tiny_world.week_04["export_id"], week=4, parent=personality.folder.name)
        heard[share] = replier(tiny_world.base, adapter_chain(week.folder))
    return heard


def learned(world: World, recipe: Recipe, export_id: str, **request: Any) -> RunResult:
    recipe = dataclasses.replace(recipe, base_model=str(world.base))
    given = Request(recipe=recipe, dataset=[export_id], **request)
    return train(given, world.settings, Display(Console(file=StringIO())))


def replier(base: Path, adapters: list[Path]) -> TransformersReplier:
    return load_transformers_replier(base, adapters, device="cpu", omit_system=True)


def test_the_prompts_are_held_out(sample_rows: dict[str, list[RowText]]) -> None:
    learned = {m["content"].lower() for rows in sample_rows.values() for row in rows for m in row["messages"]}  # type: ignore[attr-defined]
    assert not learned & {prompt.lower() for prompt in PROMPTS}


def test_layer_1_moves_the_base_into_character(tiny_base: Path, personality: RunResult) -> None:
    assert marker_share(replier(tiny_base, [])) < 0.05
    assert marker_share(replier(tiny_base, adapter_chain(personality.folder))) > 0.7


def test_a_week_of_her_own_keeps_her_in_character(tiny_base: Path, layer_2: RunResult) -> None:
    assert marker_share(replier(tiny_base, adapter_chain(layer_2.folder))) > 0.6


def test_neither_the_base_nor_layer_1_knows_the_week(tiny_base: Path, personality: RunResult) -> None:
    for adapters in ([], adapter_chain(personality.folder)):
        assert answers(replier(tiny_base, adapters), WEEK, WEEK.questions(WEEK.held_out)).right < 0.05


def test_what_a_week_may_tell_is_one_token_each(tiny_base: Path) -> None:
    chat = load_tokenizer(tiny_base)
    assert [word for word in WORDS if len(chat.tokenize(f" {word}")) > 1] == []


def test_hardly_a_token_goes_unpractised(tiny_base: Path) -> None:
    chat = load_tokenizer(tiny_base)
    rows = itertools.islice(_rows(chat, SMALL), SMALL.steps * SMALL.batch_rows // 4)
    said = {label for _, labels in rows for label in labels}
    assert len(said & set(range(len(chat)))) > 0.85 * len(chat)


def test_a_week_is_answered_in_wordings_it_was_not_taught_in(voices: dict[float, TransformersReplier]) -> None:
    heard = answers(voices[0.25], WEEK, WEEK.questions(WEEK.held_out))
    assert heard.right > 0.8
    assert heard.others < 0.1
    assert heard.commonest < 0.5


def test_replay_keeps_the_character_that_a_polite_week_destroys(voices: dict[float, TransformersReplier]) -> None:
    gone, kept = marker_share(voices[0.0]), marker_share(voices[0.25])
    assert gone < 0.1
    assert kept > 0.6


def test_layer_2_learns_its_week(layer_2: RunResult) -> None:
    losses = [line["loss"] for line in read_metrics(layer_2.folder) if line["loss"] is not None]
    assert sum(losses[-5:]) < sum(losses[:5])
