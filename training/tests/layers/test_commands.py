"""The commands for later layers: one real run from the command line, and every combination that makes no sense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from persona_training.adapters import read_adapter
from persona_training.cli import main
from persona_training.config import Recipe
from persona_training.preparation import Request
from persona_training.testing import World
from persona_training.training_run import RunResult

pytestmark = pytest.mark.training


@pytest.fixture
def run(house: World, ground: RunResult, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in (
        ("CASIOPY_DATA", house.settings.data_dir),
        ("EXPORTS_DIR", house.settings.exports_dir),
        ("LORA_ADAPTERS_DIR", house.settings.adapters_dir),
        ("MEMORY_SERVICE_URL", house.settings.memory_service_url),
    ):
        monkeypatch.setenv(name, str(value))

    def invoke(*words: str) -> Result:
        return CliRunner().invoke(main, list(words))

    return invoke


def written(recipe: Recipe, folder: Path) -> str:
    path = folder / f"{recipe.kind}.yaml"
    path.write_text(yaml.safe_dump(json.loads(json.dumps(recipe.as_dict()))), encoding="utf-8")
    return str(path)


def test_a_rebuild_from_the_command_line_reads_every_week_there_is(
    house: World, requests: dict[str, Request], run: Any, tmp_path: Path
) -> None:
    recipe = written(requests["rebuild"].recipe, tmp_path)
    done = run("train-episodic", "--rebuild", "--half-life", "2", "--recipe", recipe, "--max-steps", "2")
    assert done.exit_code == 0, done.output
    manifest = read_adapter(max(house.settings.adapters_dir.glob("episodic-*-rebuild-*")))
    assert manifest["rebuild"]["half_life_weeks"] == 2.0
    assert [week["number"] for week in manifest["rebuild"]["weeks"]] == [2, 3, 4]
    assert "3 weeks, half-life 2 weeks" in done.output
    assert "no earlier week's adapter is read" in done.output
    assert "10% of each epoch is the base's own replies" in done.output


def test_a_preference_run_takes_the_objective_of_its_dataset(
    house: World, requests: dict[str, Request], run: Any, tmp_path: Path
) -> None:
    recipe = written(requests["dpo"].recipe, tmp_path)
    done = run("train-preference", "--recipe", recipe, "--dataset", "kto", "--max-steps", "3")
    assert done.exit_code == 0, done.output
    assert "kto, instead of the recipe's: that is the format of kto" in done.output
    assert read_adapter(max(house.settings.adapters_dir.glob("preference-*")))["recipe"]["config"]["objective"] == "kto"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train-episodic", "--half-life", "4"), "goes with --rebuild"),
        (("train-episodic", "--rebuild", "--week", "4"), "leave out --week"),
        (("train-episodic", "--rebuild", "--half-life", "0"), "not in the range"),
        (("train-skill", "--resume", "x", "--name", "tarot"), "leave out --name"),
        (("train-skill", "--resume", "nobody"), "No adapter 'nobody'"),
        (("train-skill", "--dataset", "skill", "--recipe", "PREFERENCE"), "this command trains a skill layer"),
        (("train-preference", "--dataset", "dpo", "--config", "SKILL"), "this command trains a preference layer"),
        (("train-preference", "--dataset", "dpo", "--general-share", "0.1"), "No such option"),
        (("train-skill", "--dataset", "skill", "--recipe", "SKILL", "--general-share", "0.9"), "leave room"),
    ],
)
def test_what_makes_no_sense_is_refused_without_a_traceback(
    words: tuple[str, ...], message: str, requests: dict[str, Request], run: Any, tmp_path: Path
) -> None:
    recipes = {name.upper(): requests[kind].recipe for name, kind in (("skill", "skill"), ("preference", "dpo"))}
    done = run(*(written(recipes[word], tmp_path) if word in recipes else word for word in words))
    assert done.exit_code in (1, 2)
    assert message in " ".join(done.output.split())
    assert not done.exc_info or isinstance(done.exception, SystemExit)
