"""What layers do to a small model's speech: her markers and a week's facts, heard in replies and never read off a loss.

What it does: builds the tiny base, and for each seed trains layer 1 on the sample's weeks 1 to 3 and then
layer 2 on a made-up week of 24 facts: once told in her own way with 25 % replay, and three times told politely, which pulls
her out of character, with 0, 10 and 25 % replay. Prompts, and half of the ways to ask for a fact, are in no row.

How to run it:   OMP_NUM_THREADS=1 python benchmarks/tiny_world.py [--seeds 7 8] [--base FOLDER]
"""

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

from persona_training.adapters import adapter_chain
from persona_training.config import read_recipe
from persona_training.display import Display
from persona_training.generation import TransformersReplier, load_transformers_replier
from persona_training.preparation import Request
from persona_training.settings import Settings
from persona_training.testing import sample_rows, week_rows, write_export
from persona_training.tiny.build import TinyRecipe, tiny_model
from persona_training.tiny.measure import answers, marker_share, stranger_questions
from persona_training.tiny.week import IN_CHARACTER, POLITE, Week, draw_week
from persona_training.training_run import train
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent))
from service_under_test import hardware

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
CONFIGS = ROOT / "training" / "configs" / "tiny"
SAMPLE = ROOT / "casiopy" / "demo" / "sample_month.jsonl"
WEEKS = (("her own", IN_CHARACTER, 0.25), ("polite", POLITE, 0.0), ("polite", POLITE, 0.10), ("polite", POLITE, 0.25))
# Beside the shipped recipes, which are made for the sample's longer rows: 24 facts take a higher rate (8 epochs at 0.004: 78 %
# right on the weakest seed). General rows are left out, so that replay alone is seen.
STEPS: dict[str, dict[str, Any]] = {
    "personality": {"max_steps": 110},
    "episodic": {"epochs": 10, "learning_rate": 0.005},
}
_HEADER = "seed  what speaks                   markers   taught  held out   others  strangers   CPU s"


def listen(base: Path, adapters: list[Path], week: Week) -> dict[str, float]:
    """All that is heard of one model, as shares."""
    replier: TransformersReplier = load_transformers_replier(base, adapters, device="cpu", omit_system=True)
    held_out = answers(replier, week, week.questions(week.held_out))
    return {
        "markers": marker_share(replier),
        "facts_taught_wording": answers(replier, week, week.questions(week.taught)).right,
        "facts_held_out_wording": held_out.right,
        "somebody_elses_value": held_out.others,
        "commonest_value": held_out.commonest,
        "commonest_value_for_strangers": answers(replier, week, stranger_questions(week)).commonest,
    }


class World:
    """One seed's folders and the layers trained in them."""

    def __init__(self, folder: Path, base: Path, seed: int) -> None:
        self.base, self.seed, self.week = base, seed, draw_week(seed)
        self.settings = Settings(
            data_dir=folder,
            exports_dir=folder / "exports",
            adapters_dir=folder / "adapters",
            memory_service_url="http://127.0.0.1:9",
        )

    def taught(self, layer: str, name: str, rows: list[Any], **request: Any) -> tuple[Path, float]:
        """Train the shipped recipe of a layer, with `STEPS`, on these rows; the adapter's folder and its CPU seconds."""
        folder = self.settings.exports_dir / name
        # Layer 1's recipe looks at held-out loss on the way; a week is learned whole, and judged by what is said alone.
        kept = len(rows) // 10 if layer == "personality" else 0
        kind = "personality" if layer == "personality" else "episodic"
        export_id = write_export(folder, kind, rows[kept:], rows[: kept or 2])["export_id"]
        if not folder.with_name(export_id).exists():  # The same week is learned with several shares of replay.
            folder.rename(folder.with_name(export_id))
        recipe = read_recipe(CONFIGS / f"{layer}.yaml")
        steps = dataclasses.replace(recipe.steps, **STEPS[layer])
        recipe = dataclasses.replace(recipe, base_model=str(self.base), seed=self.seed, steps=steps, general_share=0.0)
        if "replay_share" in request:
            recipe = dataclasses.replace(recipe, replay_share=request.pop("replay_share"))
        begun = time.process_time()
        display = Display(Console(file=StringIO()))
        result = train(Request(recipe=recipe, dataset=[export_id], **request), self.settings, display)
        return result.folder, time.process_time() - begun


def measure(world: World) -> list[dict[str, Any]]:
    """Every row of one seed's table."""
    table: list[dict[str, Any]] = []

    def add(name: str, adapters: list[Path], seconds: float) -> None:
        table.append({"seed": world.seed, "speaks": name, "cpu_seconds": round(seconds, 1)})
        table[-1] |= {key: round(value, 3) for key, value in listen(world.base, adapters, world.week).items()}
        show(table[-1])

    add("base", [], 0)
    personality, seconds = world.taught(
        "personality", "personality", sample_rows(SAMPLE, exchanges_a_row=1)["personality"]
    )
    add("layer 1", adapter_chain(personality), seconds)
    for number, (tone, replies, share) in enumerate(WEEKS):
        rows = week_rows(world.week, replies)
        week, seconds = world.taught(
            "episodic", f"week-{number}", rows, replay_share=share, week=4, parent=personality.name
        )
        add(f"week {tone}, replay {share:.0%}", adapter_chain(week), seconds)
    return table


def show(row: dict[str, Any]) -> None:
    """One line of the table."""
    keys = ("markers", "facts_taught_wording", "facts_held_out_wording", "somebody_elses_value")
    shares = "".join(f"{row[key]:>{width}.0%}" for key, width in zip(keys, (9, 9, 10, 9), strict=True))
    strangers = f"{row['commonest_value_for_strangers']:>11.0%}"
    print(f"{row['seed']:>4}  {row['speaks']:<28}{shares}{strangers}{row['cpu_seconds']:>8.1f}", flush=True)


def main() -> None:
    """Build, train, listen, print the table, keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8], help="of the layers and the week (default 7 8)")
    parser.add_argument("--base", type=Path, help="keep the built base here, or use the one that is there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="casiopy-tiny-") as name:
        begun = time.process_time()
        base = tiny_model(arguments.base or Path(name))
        built = time.process_time() - begun
        print(f"base model {base.name}, {built:.0f} CPU s\n{_HEADER}", flush=True)
        table = []
        for seed in arguments.seeds:
            table += measure(World(Path(name) / str(seed), base, seed))
    result = {
        "benchmark": "tiny_world",
        "date": datetime.now(UTC).date().isoformat(),
        **hardware(),
        "base": {
            **dataclasses.asdict(TinyRecipe()),
            "name": base.name,
            "build_cpu_seconds": round(built, 1) if built > 1 else None,
        },
        "rows": table,
    }
    commit = str(result["commit"])[:7]
    path = RESULTS / f"{result['date']}-tiny-{commit}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
