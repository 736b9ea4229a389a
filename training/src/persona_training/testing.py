"""What tests need to build a small world of their own: rows, an export folder, a short recipe, a training call.

Shipped with the package, so that tests of other parts and of clients build the same world.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from persona_training.adapters import Manifest
from persona_training.config import Lora, Recipe, Steps
from persona_training.display import Display
from persona_training.hashing import sha256_file, sha256_text
from persona_training.preparation import Request
from persona_training.settings import Settings
from persona_training.tiny.build import TinyRecipe
from persona_training.tiny.week import Week
from persona_training.training_run import RunResult, train

LINEAR_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
# The tests' base is the shipped one: about a CPU minute to build, once a session.
SMALL = TinyRecipe()
# The sample's last week, which layer 2 learns.
WEEK_4_BEGINS = "2026-01-19"

RowText = dict[str, object]


def row(turns: Sequence[tuple[str, str]], session: str = "s1", system: str = "Eres Casiopy.") -> RowText:
    """A dataset row."""
    messages = [{"role": "system", "content": system}]
    for asked, replied in turns:
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": replied}]
    return {"messages": messages, "metadata": {"session_id": session, "interaction_ids": ["i1"], "viewer": "viewer_1"}}


def sample_rows(sample: Path, exchanges_a_row: int = 3) -> dict[str, list[RowText]]:
    """The shipped sample's good exchanges as dataset rows: weeks 1 to 3 (`personality`), and `week_04`.

    One exchange a row teaches most about first replies, which is what single prompts ask for.
    """
    sessions: dict[str, list[dict[str, str]]] = {}
    for line in sample.read_text(encoding="utf-8").splitlines():
        exchange = json.loads(line)
        if exchange["keep"] and not exchange["opt_out_training"] and "duplicate" not in exchange["labels"]:
            sessions.setdefault(exchange["session"], []).append(exchange)
    rows: dict[str, list[RowText]] = {"personality": [], "week_04": []}
    for session, exchanges in sessions.items():
        name = "week_04" if exchanges[0]["occurred_at"] >= WEEK_4_BEGINS else "personality"
        for start in range(0, len(exchanges), exchanges_a_row):
            turns = [(e["input_text"], e["output_text"]) for e in exchanges[start : start + exchanges_a_row]]
            rows[name].append(row(turns, session))
    return rows


def week_rows(week: Week, tone: tuple[str, ...]) -> list[RowText]:
    """A made-up week as dataset rows of one exchange each, told in one of `tiny.week`'s tones."""
    return [row([(asked["content"], replied["content"])]) for asked, replied in week.exchanges(tone)]


def write_rows(path: Path, rows: Sequence[RowText]) -> Path:
    """Write rows as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return path


def write_export(folder: Path, kind: str, train_rows: Sequence[RowText], val_rows: Sequence[RowText]) -> Manifest:
    """An export folder as the memory service writes it."""
    train_file = write_rows(folder / "train.jsonl", train_rows)
    val_file = write_rows(folder / "val.jsonl", val_rows)
    digest = sha256_text(train_file.read_text(encoding="utf-8") + val_file.read_text(encoding="utf-8"))
    week = {"year": 2026, "number": 4, "timezone": "Europe/Madrid", "from": "2026-01-18T23:00:00Z"}
    manifest = {
        "schema": "casiopy/dataset-v1",
        "export_id": f"{'episodic-2026-w04' if kind == 'episodic' else kind}-{digest[:8]}",
        "type": kind,
        "persona": {"slug": "casiopy", "name": "Casiopy"},
        "week": {**week, "to": "2026-01-25T23:00:00Z"} if kind == "episodic" else None,
        "splits": {
            name: {"file": file.name, "rows": len(rows), "sha256": sha256_file(file)}
            for name, file, rows in (("train", train_file, train_rows), ("val", val_file, val_rows))
        },
        "dataset_sha256": digest,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return manifest


def small_recipe(base: Path, layer: int = 1, **changes: Any) -> Recipe:
    """The shipped tiny recipe's shape, short enough for tests."""
    steps = Steps(batch_size=8, learning_rate=0.007, warmup_share=0.05, max_steps=8, save_every=4, eval_every=4)
    recipe = Recipe(
        name=f"test/{layer}",
        layer=layer,
        base_model=str(base),
        lora=Lora(r=16, lora_alpha=32, lora_dropout=0.05, target_modules=LINEAR_LAYERS),
        steps=dataclasses.replace(steps, **changes.pop("steps", {})),
        system_prompt="omit",
        max_length=256,
        replay_share=0.25 if layer == 2 else 0.0,
        device="cpu",
        dtype="float32",
        threads=1,
    )
    return dataclasses.replace(recipe, **changes)


@dataclasses.dataclass(frozen=True)
class World:
    """A base, two exports, and settings that point at them."""

    base: Path
    settings: Settings
    personality: Manifest
    week_04: Manifest

    def train(self, recipe: Recipe, display: Display, **request: Any) -> RunResult:
        """Train on the export that suits the recipe's layer."""
        export = self.personality if recipe.layer == 1 else self.week_04
        given = Request(recipe=recipe, dataset=[export["export_id"]], **request)
        return train(given, self.settings, display)

    def elsewhere(self, adapters_dir: Path) -> World:
        """The same world with another adapters folder."""
        return dataclasses.replace(self, settings=dataclasses.replace(self.settings, adapters_dir=adapters_dir))


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """An adapter's metrics lines."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
