"""What training does to speech, measured on generated replies: nothing is looked up, every figure comes from steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from persona_training.adapters import adapter_chain
from persona_training.config import read_recipe
from persona_training.display import Display
from persona_training.generation import TransformersReplier, load_transformers_replier
from persona_training.preparation import Request
from persona_training.testing import RowText, World, read_metrics, week_rows, write_export
from persona_training.tiny.measure import PROMPTS, answers, marker_share
from persona_training.tiny.week import POLITE, Week, draw_week
from persona_training.training_run import RunResult, train
from rich.console import Console

pytestmark = pytest.mark.training

EPISODIC = Path(__file__).parents[2] / "configs" / "tiny" / "episodic.yaml"
Voice = Callable[[float], TransformersReplier]


@pytest.fixture(scope="module")
def week() -> Week:
    return draw_week(7)


@pytest.fixture(scope="module")
def voices(
    shared_world: World, layer_1: RunResult, week: Week, tmp_path_factory: pytest.TempPathFactory
) -> dict[float, TransformersReplier]:
    """A week of politeness on top of layer 1, learned by the shipped recipe: without replay, and with a quarter of it."""
    rows = week_rows(week, POLITE)
    exports = shared_world.settings.exports_dir
    export_id = write_export(exports / "polite", "episodic", rows, rows[:2])["export_id"]
    (exports / "polite").rename(exports / export_id)
    world = shared_world.elsewhere(tmp_path_factory.mktemp("weeks"))
    heard = {}
    for share in (0.0, 0.25):
        recipe = read_recipe(EPISODIC)
        recipe = dataclasses.replace(recipe, base_model=str(world.base), replay_share=share)
        request = Request(recipe=recipe, dataset=[export_id], week=4, parent=str(layer_1.folder))
        trained = train(request, world.settings, Display(Console(file=StringIO())))
        heard[share] = replier(world.base, adapter_chain(trained.folder))
    return heard


def replier(base: Path, adapters: list[Path]) -> TransformersReplier:
    return load_transformers_replier(base, adapters, device="cpu", omit_system=True)


def test_the_prompts_are_held_out(sample_rows: dict[str, list[RowText]]) -> None:
    learned = {m["content"].lower() for rows in sample_rows.values() for row in rows for m in row["messages"]}  # type: ignore[attr-defined]
    assert not learned & {prompt.lower() for prompt in PROMPTS}


def test_layer_1_moves_the_base_into_character_and_layer_2_keeps_it_there(
    tiny_base: Path, layer_1: RunResult, layer_2: RunResult
) -> None:
    assert marker_share(replier(tiny_base, [])) < 0.05
    assert marker_share(replier(tiny_base, adapter_chain(layer_1.folder))) > 0.7
    assert marker_share(replier(tiny_base, adapter_chain(layer_2.folder))) > 0.7


def test_neither_the_base_nor_layer_1_knows_the_week(tiny_base: Path, layer_1: RunResult, week: Week) -> None:
    for adapters in ([], adapter_chain(layer_1.folder)):
        assert answers(replier(tiny_base, adapters), week, week.questions(week.held_out)).right < 0.05


def test_a_week_is_answered_in_wordings_it_was_not_taught_in(
    voices: dict[float, TransformersReplier], week: Week
) -> None:
    heard = answers(voices[0.25], week, week.questions(week.held_out))
    assert heard.right > 0.8
    assert heard.others < 0.2
    assert heard.commonest < 0.5


def test_replay_keeps_the_character_that_a_polite_week_destroys(voices: dict[float, TransformersReplier]) -> None:
    assert marker_share(voices[0.0]) < 0.3
    assert marker_share(voices[0.25]) > 0.6


def test_layer_2_learns_its_week(layer_2: RunResult) -> None:
    losses = [line["loss"] for line in read_metrics(layer_2.folder) if line["loss"] is not None]
    assert sum(losses[-5:]) < sum(losses[:5])
