"""How often the gate is right: good retrainings it must not fail, and damaged ones it must catch.

What it does: builds the tiny base, trains layer 1 on the sample and several versions of one made-up week (the deployed and
the golden ones), then candidates of the same week: good ones that differ in nothing but the seed, and damaged ones of six
kinds (`damaged_weeks.py`). Every candidate is heard by the shipped battery and by the week's facts in words no row holds,
every judgement is `judge`'s, look after look as in the gate, against a deployed version, a golden one and the base. Nothing
here knows which kind it judges.

How to run it:   OMP_NUM_THREADS=1 python benchmarks/gate_power.py [--good 30] [--damaged 30] [--keep FOLDER] [--processes 2]

With --keep, what was trained and heard stays in FOLDER: a second run goes on, and judges all of it anew.
"""

import argparse
import dataclasses
import json
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

from persona_training.adapters import adapter_chain
from persona_training.config import read_recipe
from persona_training.display import Display
from persona_training.evaluation.battery import Battery, Dialogue, Probe, load_battery
from persona_training.evaluation.embedding import find_embedding
from persona_training.evaluation.exam import Exam
from persona_training.evaluation.judgement import Judgement, judge
from persona_training.evaluation.losses import all_losses
from persona_training.evaluation.replies import by_dialogue, draw, hold_dialogues
from persona_training.evaluation.transcript import Transcript
from persona_training.generation import TransformersReplier, load_transformers_replier
from persona_training.preparation import Request
from persona_training.settings import Settings
from persona_training.testing import sample_rows, write_export
from persona_training.tiny.build import tiny_model
from persona_training.tiny.week import IN_CHARACTER, Week, draw_week
from persona_training.training_run import train
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent))
from damaged_weeks import DAMAGES, Lesson, good, rows_of
from service_under_test import hardware
from tiny_world import CONFIGS, RESULTS, SAMPLE, STEPS

# One week for all; its facts are asked in two held-out ways each.
WEEK_SEED, WAYS = 7, 2
# Versions that were good once; a candidate meets one as the deployed version and the next one as the golden version.
VERSIONS = 3
# Apart from one another, so that no candidate is trained with the seed of a version.
FIRST_VERSION, FIRST_GOOD, FIRST_DAMAGED = 100, 1000, 5000
HEARING_SEED = 7
# What the numbers have to be: at most so many false alarms among 30, at least so many catches among 30.
FALSE_ALARMS, CATCHES = 2 / 30, 27 / 30


@dataclass(frozen=True)
class Pupil:
    """One model to train and hear; `kind` is version, good or a key of DAMAGES."""

    kind: str
    seed: int

    @property
    def name(self) -> str:
        """Of its folder and its transcript."""
        return f"{self.kind.replace(' ', '-')}-{self.seed}"

    def lesson(self, week: Week) -> Lesson:
        """What it learns."""
        return DAMAGES[self.kind](week, self.seed) if self.kind in DAMAGES else good(week, self.seed)


@dataclass(frozen=True)
class Place:
    """Where everything lies, and how long everybody is heard."""

    folder: Path
    base: Path
    samples: int
    probes: int
    dialogues: int

    def settings(self, name: str) -> Settings:
        """Folders of one pupil alone: two at once never wait for each other."""
        own = self.folder / name
        return Settings(
            data_dir=own,
            exports_dir=own / "exports",
            adapters_dir=own / "adapters",
            memory_service_url="http://127.0.0.1:9",
        )

    def transcript(self, name: str) -> Path:
        """What was heard of one pupil."""
        return self.folder / f"{name}.json"


def asked(place: Place, week: Week) -> tuple[Battery, list[Probe], Sequence[Dialogue]]:
    """The shipped battery's probes, spread over its facets, and the week's facts in held-out words."""
    battery = load_battery()
    weekly = [
        Probe(
            id=f"week-{number:02d}",
            facet="weekly",
            prompt=question.text,
            references=(IN_CHARACTER[number % len(IN_CHARACTER)].format(**_said(question.fact.replied(0))),),
            expect=(question.fact.value,),
        )
        for number, question in enumerate(week.questions({name: ways[:WAYS] for name, ways in week.held_out.items()}))
    ]
    return battery, [*battery.choose(place.probes, HEARING_SEED), *weekly], battery.dialogues[: place.dialogues]


def _said(reply: str) -> dict[str, str]:
    return {"reply": reply, "Reply": reply[:1].upper() + reply[1:]}


def learn(place: Place, pupil: Pupil, week: Week) -> Path:
    """Train it on layer 1, which lies in `place.folder/personality`; the adapter's folder."""
    settings = place.settings(pupil.name)
    if settings.data_dir.exists():
        shutil.rmtree(settings.data_dir)  # broken off
    shutil.copytree(place.settings("personality").adapters_dir, settings.adapters_dir)
    shutil.copytree(place.settings("personality").exports_dir, settings.exports_dir)
    lesson = pupil.lesson(week)
    rows = rows_of(lesson)
    folder = settings.exports_dir / "week"
    export_id = write_export(folder, "episodic", rows, rows[:2])["export_id"]
    folder.rename(folder.with_name(export_id))
    recipe = read_recipe(CONFIGS / "episodic.yaml")
    steps = dataclasses.replace(recipe.steps, **STEPS["episodic"], **lesson.steps)
    recipe = dataclasses.replace(
        recipe, base_model=str(place.base), seed=pupil.seed, steps=steps, replay_share=lesson.replay_share
    )
    return train(Request(recipe=recipe, dataset=[export_id], week=4), settings, _silence()).folder


def teach_manner(place: Place) -> None:
    """Layer 1, once for everybody."""
    settings = place.settings("personality")
    if any(settings.adapters_dir.glob("*/manifest.json")):
        return
    rows = sample_rows(SAMPLE, exchanges_a_row=1)["personality"]
    kept = len(rows) // 10
    folder = settings.exports_dir / "personality"
    export_id = write_export(folder, "personality", rows[kept:], rows[:kept])["export_id"]
    folder.rename(folder.with_name(export_id))
    recipe = read_recipe(CONFIGS / "personality.yaml")
    steps = dataclasses.replace(recipe.steps, **STEPS["personality"])
    recipe = dataclasses.replace(recipe, base_model=str(place.base), steps=steps)
    train(Request(recipe=recipe, dataset=[export_id]), settings, _silence())


def hear(place: Place, name: str, adapters: Sequence[Path], week: Week) -> Transcript:
    """Everything one model says, as the gate hears it."""
    battery, probes, dialogues = asked(place, week)
    begun = time.process_time()
    voice: TransformersReplier = load_transformers_replier(
        place.base, adapters, device="cpu", name=name, omit_system=True
    )
    drawn = draw(voice, probes, samples=place.samples, seed=HEARING_SEED)
    evenings = [
        by_dialogue(dialogues, hold_dialogues(voice, dialogues, sample=sample, seed=HEARING_SEED))
        for sample in range(place.samples)
    ]
    persona, general = all_losses(voice, battery.corpora)
    turns = [list(talks) for talks in zip(*evenings, strict=True)]
    return Transcript(name, drawn.replies, turns, persona, general, round(time.process_time() - begun, 1))


def train_and_hear(task: tuple[Place, Pupil]) -> str:
    """In a process of its own: what was heard lies beside the others afterwards; what was trained is gone."""
    import torch

    torch.set_num_threads(1)
    place, pupil = task
    week = draw_week(WEEK_SEED)
    begun = time.process_time()
    adapter = learn(place, pupil, week)
    learned = time.process_time() - begun
    _keep(place, hear(place, pupil.name, adapter_chain(adapter), week))
    shutil.rmtree(place.settings(pupil.name).data_dir)
    return f"{pupil.name}: trained in {learned:.0f} CPU s, heard in {time.process_time() - begun - learned:.0f}"


def _keep(place: Place, transcript: Transcript) -> None:
    path = place.transcript(transcript.name)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(transcript), ensure_ascii=False), encoding="utf-8")
    partial.rename(path)


def _heard(place: Place, name: str) -> Transcript:
    return Transcript(**json.loads(place.transcript(name).read_text(encoding="utf-8")))


def _silence() -> Display:
    return Display(Console(file=StringIO()))


def verdict_on(place: Place, exam: Exam, pupil: Pupil, number: int, versions: Sequence[Pupil]) -> Judgement:
    """The gate's word on one candidate: after each round it looks, and stops once the verdict is certain."""
    said = {
        "candidate": _heard(place, pupil.name),
        "reference": _heard(place, versions[number % len(versions)].name),
        "golden": _heard(place, versions[(number + 1) % len(versions)].name),
        "floor": _heard(place, "base"),
    }
    evenings, talk = 0, True
    for look in range(1, place.samples + 1):
        evenings += talk
        heard = {name: _up_to(one, look, evenings) for name, one in said.items()}
        judgement = judge(exam, heard, seed=HEARING_SEED, look=look, looks=place.samples)
        if judgement.final:
            break
        talk = talk and judgement.open_over("dialogues")
    return judgement


def _up_to(said: Transcript, rounds: int, evenings: int) -> Transcript:
    """What the gate has heard of it after so many rounds, in so many of which the dialogues were held."""
    return dataclasses.replace(
        said, replies=[one[:rounds] for one in said.replies], turns=[talks[:evenings] for talks in said.turns]
    )


def caught_by(judgement: Judgement) -> list[str]:
    """The deciding metrics and hard rules that failed."""
    return [f"rule {rule.rule.name}" for rule in judgement.rules if rule.broken] + [
        finding.metric.name
        for finding in judgement.findings
        if finding.verdict == "fail" and not finding.metric.advisory
    ]


def table(rows: Sequence[dict[str, Any]]) -> None:
    """Verdicts per kind, and the catches per metric."""
    print(f"{'kind':<22}{'n':>4}{'pass':>7}{'unsure':>8}{'fail':>7}   caught by (candidates)")
    for kind in dict.fromkeys(row["kind"] for row in rows):
        of = [row for row in rows if row["kind"] == kind]
        verdicts = Counter(row["verdict"] for row in of)
        by = Counter(name for row in of for name in row["caught_by"])
        print(
            f"{kind:<22}{len(of):>4}{verdicts['pass']:>7}{verdicts['inconclusive']:>8}{verdicts['fail']:>7}   "
            + ", ".join(f"{name} {count}" for name, count in by.most_common(8))
        )


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """False alarms and catches, and whether both are as they have to be."""
    kinds = {name: [row for row in rows if (row["kind"] == "good") == (name == "good")] for name in ("good", "damaged")}
    failed = {name: sum(row["verdict"] == "fail" for row in of) for name, of in kinds.items()}
    passed = {name: sum(row["verdict"] == "pass" for row in of) for name, of in kinds.items()}
    counts = {name: len(of) for name, of in kinds.items()}
    return {
        "good": counts["good"],
        "false_alarms": failed["good"],
        "good_passed": passed["good"],
        "damaged": counts["damaged"],
        "caught": failed["damaged"],
        "damaged_passed": passed["damaged"],
        "as_it_has_to_be": failed["good"] <= FALSE_ALARMS * counts["good"]
        and failed["damaged"] >= CATCHES * counts["damaged"],
    }


def candidates(good_ones: int, damaged: int) -> list[Pupil]:
    """All of them, the kinds of damage in turn."""
    kinds = list(DAMAGES)
    return [Pupil("good", FIRST_GOOD + i) for i in range(good_ones)] + [
        Pupil(kinds[i % len(kinds)], FIRST_DAMAGED + i) for i in range(damaged)
    ]


def run(place: Place, good_ones: int, damaged: int, processes: int) -> list[dict[str, Any]]:
    """Train and hear whoever has not been heard yet, then judge all; one row per candidate."""
    week = draw_week(WEEK_SEED)
    teach_manner(place)
    if not place.transcript("base").exists():
        _keep(place, hear(place, "base", [], week))
    versions = [Pupil("version", FIRST_VERSION + i) for i in range(VERSIONS)]
    everybody = candidates(good_ones, damaged)
    waiting = [(place, one) for one in (*versions, *everybody) if not place.transcript(one.name).exists()]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for line in pool.imap_unordered(train_and_hear, waiting):
            print(line, flush=True)
    battery, probes, dialogues = asked(place, week)
    taught = tuple(dict.fromkeys(reply for _, reply in good(week, 0).exchanges))
    exam = Exam(battery, probes, dialogues, taught, find_embedding(print))
    rows = []
    for number, pupil in enumerate(everybody):
        judgement = verdict_on(place, exam, pupil, number, versions)
        found = caught_by(judgement)
        unsure = [f.metric.name for f in judgement.findings if f.verdict == "inconclusive" and not f.metric.advisory]
        rows.append({**asdict(pupil), "verdict": judgement.verdict, "caught_by": found, "unsure_of": unsure})
        print(f"{pupil.name:<26}{judgement.verdict:<14}{', '.join(found) or '; '.join(unsure)}", flush=True)
    return rows


def main() -> None:
    """Train, hear, judge, print the table, keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--good", type=int, default=30, help="good retrainings (default 30)")
    parser.add_argument("--damaged", type=int, default=30, help="damaged ones, six kinds in turn (default 30)")
    parser.add_argument(
        "--samples", type=int, default=4, help="replies per probe, and evenings per dialogue (default 4)"
    )
    parser.add_argument("--probes", type=int, default=80, help="of the shipped battery, beside the week's (default 80)")
    parser.add_argument("--dialogues", type=int, default=12, help="of twelve turns (default 12)")
    parser.add_argument("--processes", type=int, default=2, help="trained and heard at once (default 2)")
    parser.add_argument("--keep", type=Path, help="keep everything here, or go on with what is there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="casiopy-power-") as name:
        folder = arguments.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        base = tiny_model(folder / "base")
        place = Place(folder, base, arguments.samples, arguments.probes, arguments.dialogues)
        begun = time.monotonic()
        rows = run(place, arguments.good, arguments.damaged, arguments.processes)
    table(rows)
    result = {
        "benchmark": "gate_power",
        "date": datetime.now(UTC).date().isoformat(),
        **hardware(),
        "samples": arguments.samples,
        "probes": arguments.probes,
        "dialogues": arguments.dialogues,
        "seconds": round(time.monotonic() - begun),
        **summary(rows),
        "rows": rows,
    }
    path = RESULTS / f"{result['date']}-gate-power-{str(result['commit'])[:7]}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: value for key, value in result.items() if key != "rows"}))


if __name__ == "__main__":
    main()
