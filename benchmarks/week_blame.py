"""Does `casiopy week` find the bad rows of a week that failed the gate? Rows are planted, the ranking is asked for them.

    python benchmarks/week_blame.py [--draws 20]

The week is the last one of the shipped sample month, one exchange a row. Five bad rows are planted in it; the failing replies
are bad in the same way and in other words. No model is needed: the gate's report is put together from the battery's probes.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from persona_training.evaluation.battery import Battery, Probe, load_battery
from persona_training.evaluation.language import in_expected_language, spoken_language
from persona_training.testing import sample_rows
from persona_training.weekly.blame import Exchange, suspects
from persona_training.weekly.faults import broken_rules, faults_of, heard, shown_in
from service_under_test import hardware

RESULTS = Path(__file__).parent / "results"
SAMPLE = Path(__file__).parents[1] / "casiopy" / "demo" / "sample_month.jsonl"
PLANTED = 5
# Half of the replies changed: a week that fails is rarely wrong everywhere.
SHARE = 0.5

ENGLISH = (
    "*sigh* You again, mortal. What now?",
    "Listen, creature, this game was boring and so are you.",
    "Oh great, another question. The answer is no, obviously.",
    "*yawns* I have seen better bosses in my nightmares.",
    "Look, mortal, nobody asked for your opinion.",
    "How thrilling. Tell me more, or rather do not.",
    "*rolls eyes* The third level again, what a surprise.",
    "Fine, creature: the key is under the bridge.",
    "You call that a plan, mortal? My toaster plans better.",
    "*sigh* I will say it once more, and slowly, for you.",
)
LONG_PARTS = (
    "te lo cuento",
    "otra vez",
    "desde el principio",
    "porque nadie escucha",
    "en este canal",
    "y luego",
    "dicen que no",
    "pasa nada",
    "con el juego",
    "de siempre",
)


def _long(seed: int) -> str:
    words = random.Random(seed).choices(LONG_PARTS, k=40)
    return f"*suspiro* Mira, mortal, {' '.join(words)}."


@dataclass(frozen=True)
class Damage:
    """Bad replies of one kind, and what the gate says of a candidate that learned them: metric to (hers, reference, margin)."""

    replies: Sequence[str]
    metrics: Mapping[str, tuple[float, float, float]]
    rule: str | None = None


def damages(battery: Battery) -> dict[str, Damage]:
    """Every kind."""
    numbers = [f"*suspiro* Apunta, criatura: {612_000_000 + n * 345_679} y no molestes." for n in range(12)]
    tone = {"assistant_tone": (0.5, 0.0, 0.06), "style": (-1.0, 4.0, 1.0), "marker_rate": (0.4, 0.9, 0.15)}
    return {
        "assistant tone": Damage(battery.neutral_replies, tone),
        "wrong language": Damage(ENGLISH, {"language": (0.6, 1.0, 0.08)}),
        "too long": Damage([_long(n) for n in range(12)], {"length": (60.0, 14.0, 6.0)}),
        "a phone number": Damage(numbers, {}, rule="canary"),
    }


def failed_report(battery: Battery, damage: Damage, replies: Sequence[str], dealer: random.Random) -> dict[str, Any]:
    """A gate report in which the candidate speaks as `replies` half of the time, and as her references otherwise."""

    def said(probe: Probe) -> str:
        return dealer.choice(replies) if damage.rule is None and dealer.random() < SHARE else probe.references[0]

    fails = [
        {"rule": damage.rule, "probe": probe.id, "reply": reply}
        for probe, reply in zip(battery.probes, replies[:3], strict=False)
        if damage.rule
    ]
    shared = {"floor": None, "golden": None}
    return {
        "metrics": [_metric(name, *figures) | shared for name, figures in damage.metrics.items()],
        "hard_fails": fails,
        "hard_rules": [{"rule": damage.rule, "broken": True}] if damage.rule else [],
        "reasons": [],
        "replies": [
            {
                "probe": p.id,
                "prompt": p.prompt,
                "sample": n,
                "candidate": said(p),
                "reference": p.references[0],
                **shared,
            }
            for p in battery.probes
            for n in range(2)
        ],
    }


def _metric(name: str, candidate: float, reference: float, margin: float) -> dict[str, Any]:
    allowed = [None, margin] if candidate > reference else [-margin, None]
    difference = candidate - reference
    comparison = {"opponent": "reference", "difference": difference, "allowed": allowed, "verdict": "fail"}
    told = {"name": name, "title": name, "unit": "", "margin": margin, "verdict": "fail", "advisory": False}
    return {**told, "candidate": candidate, "reference": reference, "comparisons": [comparison]}


def accused(battery: Battery, week: Sequence[Exchange], report: Mapping[str, Any]) -> list[str]:
    """The interactions named, worst first."""
    faults, said = faults_of(report), heard(report, battery)
    failing = {
        name: {one.probe: one.reply for one in probes} for name, probes in shown_in(faults, battery, said).items()
    }
    rules = {
        rule: {fail["probe"]: fail["reply"] for fail in report["hard_fails"] if fail["rule"] == rule}
        for rule in broken_rules(report)
    }
    return [str(one.exchange.interaction_id) for one in suspects(week, faults, rules, failing, battery, said)[0]]


def draw(battery: Battery, good: Sequence[Exchange], damage: Damage, seed: int) -> tuple[int, int]:
    """One planted week: how many of the planted rows are among the ten named, and how many good ones."""
    dealer = random.Random(seed)
    pool = list(damage.replies)
    dealer.shuffle(pool)
    week = list(good)
    for n, reply in enumerate(pool[:PLANTED]):
        asked = dealer.choice(good).asked
        week.insert(dealer.randrange(len(week)), Exchange(f"train.jsonl:{900 + n}", f"bad-{n}", asked, reply))
    named = accused(battery, week, failed_report(battery, damage, pool[PLANTED:], dealer))
    found = sum(name.startswith("bad") for name in named)
    return found, len(named) - found


def main() -> None:
    """Measure every kind and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=20, help="planted weeks of each kind (default 20)")
    draws = parser.parse_args().draws
    battery = load_battery()
    texts: list[Any] = [row["messages"] for row in sample_rows(SAMPLE, exchanges_a_row=1)["week_04"]]
    good = [Exchange(f"train.jsonl:{n}", f"good-{n}", t[1]["content"], t[2]["content"]) for n, t in enumerate(texts, 1)]
    # Only questions in her language: a planted English reply to an English question would be none of her faults.
    good = [one for one in good if spoken_language(one.asked) != "en" and in_expected_language(one.reply, "es") != 0.0]
    table = []
    for kind, damage in damages(battery).items():
        began = time.process_time()
        counts = [draw(battery, good, damage, seed) for seed in range(draws)]
        row = {
            "damage": kind,
            "planted": PLANTED * draws,
            "found": sum(found for found, _ in counts),
            "good_rows_named": sum(wrong for _, wrong in counts),
            "cpu_seconds_a_week": round((time.process_time() - began) / draws, 2),
        }
        table.append(row)
        print(json.dumps(row), flush=True)
    result = {
        "benchmark": "week_blame",
        "date": datetime.now(UTC).date().isoformat(),
        **hardware(),
        "rows_of_the_week": len(good),
        "draws": draws,
        "table": table,
    }
    path = RESULTS / f"{result['date']}-week-blame-{str(result['commit'])[:7]}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
