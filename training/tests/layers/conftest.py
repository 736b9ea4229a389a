"""One small layer 1 and, when asked for, a week, a rebuild, a skill and preferences on it: a few real steps each."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from persona_training.adapters import Manifest
from persona_training.config import Lora, Recipe
from persona_training.display import Display
from persona_training.preparation import Request
from persona_training.testing import LINEAR_LAYERS, RowText, World, small_recipe, write_export
from persona_training.training_run import RunResult, train
from rich.console import Console

SMALLER = Lora(r=4, lora_alpha=8, lora_dropout=0.05, target_modules=LINEAR_LAYERS)
STEPS = {"max_steps": 4, "eval_every": 0, "save_every": 2, "batch_size": 4, "learning_rate": 0.003}


def pinned(folder: Path, manifest: Manifest, **changes: Any) -> str:
    """Give an export its own id and further keys; the id."""
    manifest |= changes
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return str(folder.rename(folder.with_name(manifest["export_id"])).name)


def judged(form: str, rows: list[RowText]) -> list[RowText]:
    """The last reply of every row as something preferred, beside one nobody wants."""
    bad = [{"role": "assistant", "content": "Como modelo de lenguaje, no puedo responder."}]
    told: list[RowText] = []
    for number, row in enumerate(rows):
        messages: Any = row["messages"]
        prompt, good = messages[:-1], messages[-1:]
        judgement: dict[str, object] = {"chosen": good, "rejected": bad}
        if form == "kto":
            judgement = {"completion": good if number % 2 else bad, "label": bool(number % 2)}
        told.append({"prompt": prompt, **judgement, "metadata": row["metadata"]})
    return told


@pytest.fixture(scope="session")
def house(
    shared_world: World, sample_rows: dict[str, list[RowText]], tmp_path_factory: pytest.TempPathFactory
) -> World:
    """The shared world with exports of every type and an adapters folder of its own."""
    root = tmp_path_factory.mktemp("house")
    rows = sample_rows["week_04"][:36]
    for number in (2, 3, 4):
        folder = root / "exports" / f"week-{number}"
        manifest = write_export(folder, "episodic", rows[12 * number - 24 : 12 * number - 12], rows[:2])
        week = {**manifest["week"], "number": number}
        pinned(folder, manifest, week=week, export_id=f"episodic-2026-w{number:02d}-{manifest['dataset_sha256'][:8]}")
    for name, kind, form, told in (
        ("personality", "personality", "chatml", sample_rows["personality"][:24]),
        ("skill", "skill", "chatml", rows[:20]),
        ("dpo", "preference", "dpo", judged("dpo", rows[:14])),
        ("kto", "preference", "kto", judged("kto", rows[:14])),
    ):
        folder = root / "exports" / name
        skill = "tarot" if kind == "skill" else None
        pinned(folder, write_export(folder, kind, told[2:], told[:2]), export_id=name, format=form, skill=skill)
    settings = dataclasses.replace(
        shared_world.settings, exports_dir=root / "exports", adapters_dir=root / "adapters", data_dir=root / "data"
    )
    return dataclasses.replace(shared_world, settings=settings)


@pytest.fixture(scope="session")
def ground(house: World) -> RunResult:
    """A layer 1 of a few steps: enough to stand on."""
    recipe = small_recipe(house.base, steps={"max_steps": 6, "eval_every": 0, "save_every": 6, "batch_size": 4})
    return train(Request(recipe, ["personality"]), house.settings, Display(Console(file=StringIO())))


def recipe_of(house: World, layer: int, **changes: Any) -> Recipe:
    mixed: dict[str, Any] = {"replay_share": 0.25, "general_share": 0.1}
    if changes.get("objective", "sft") != "sft":
        mixed = {"replay_share": 0.0}
    return small_recipe(house.base, layer=layer, lora=SMALLER, steps=dict(STEPS), **mixed, **changes)


REQUESTS: dict[str, Callable[[World], Request]] = {
    "week": lambda house: Request(recipe_of(house, 2), [_weekly(house)[-1]]),
    "rebuild": lambda house: Request(recipe_of(house, 2), _weekly(house), half_life_weeks=0.4),
    "skill": lambda house: Request(recipe_of(house, 3), ["skill"]),
    "dpo": lambda house: Request(recipe_of(house, 3, objective="dpo"), ["dpo"]),
    "kto": lambda house: Request(recipe_of(house, 3, objective="dpo"), ["kto"]),
}


def _weekly(house: World) -> list[str]:
    return sorted(path.name for path in house.settings.exports_dir.glob("episodic-*"))


@pytest.fixture(scope="session")
def trained(house: World, ground: RunResult) -> Callable[[str], RunResult]:
    """One adapter of each kind on the same ground, trained when first asked for."""
    known: dict[str, RunResult] = {}

    def of(kind: str) -> RunResult:
        if kind not in known:
            known[kind] = train(REQUESTS[kind](house), house.settings, Display(Console(file=StringIO())))
        return known[kind]

    return of


@pytest.fixture(scope="session")
def requests(house: World) -> dict[str, Request]:
    """What each kind of adapter is asked for with."""
    return {kind: request(house) for kind, request in REQUESTS.items()}
