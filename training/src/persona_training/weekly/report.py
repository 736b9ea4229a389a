"""The dated report of a week: what was done, what came out, and what to do next, for people and for programs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from persona_training.adapters import write_json, write_text
from persona_training.errors import PersonaTrainingError, StorageError
from persona_training.evaluation.battery import Battery, load_battery
from persona_training.evaluation.results import MOST_LOOKS
from persona_training.settings import Settings
from persona_training.weekly.blame import Exchange, Suspect, excerpt, read_exchanges, suspects
from persona_training.weekly.endings import GATE_FAILED, Ending
from persona_training.weekly.faults import Report, Shown, broken_rules, faults_of, heard, shown_in
from persona_training.weekly.journal import STAGES, Journal, Record
from persona_training.weekly.machine import Outcome
from persona_training.weekly.order import Order
from persona_training.weekly.proving import GATE_FILE, read_kept

SCHEMA = "casiopy/week-report-v1"
MARKDOWN, JSON = "report.md", "report.json"
# Examples per broken hard rule: one shows it, three show that it was no accident.
MOST_EXAMPLES = 3


@dataclass(frozen=True)
class Blame:
    """Where a failed gate comes from, as far as it can be told.

    Attributes:
        probes: title of the metric or rule, and the probes it shows in.
        rows: the training rows most to blame.
        note: what was left out, or why nothing could be looked at.
    """

    probes: tuple[tuple[str, tuple[Shown, ...]], ...] = ()
    rows: tuple[Suspect, ...] = ()
    note: str = ""


def find_blame(journal: Journal, order: Order, settings: Settings) -> Blame:
    """The probes and rows behind a failed gate, from the report the gate stage has kept and the week's dataset."""
    kept, exported = read_kept(journal.folder), journal.results().get("export")
    if kept is None or exported is None:
        return Blame(note="The gate's report or the dataset is not at hand any more.")
    try:
        battery = load_battery(order.battery)
        exchanges = read_exchanges(settings.exports_dir / exported["export_id"])
    except PersonaTrainingError as error:
        return Blame(note=f"Nothing could be compared: {error.message}")
    try:
        return _compared(kept["report"], battery, exchanges)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, StopIteration) as error:
        return Blame(
            note=f"Nothing could be compared: {journal.folder / GATE_FILE} is damaged ({type(error).__name__}: {error}). "
            "--again gate writes it anew."
        )


def _compared(report: Report, battery: Battery, exchanges: Sequence[Exchange]) -> Blame:
    """Faults, the probes they show in, and the rows that are like them."""
    faults, said = faults_of(report), heard(report, battery)
    shown = shown_in(faults, battery, said)
    broken = {rule: _examples(report, rule) for rule in broken_rules(report)}
    found, note = suspects(
        exchanges,
        faults,
        {rule: {one.probe: one.reply for one in examples} for rule, examples in broken.items()},
        {name: {one.probe: one.reply for one in probes} for name, probes in shown.items()},
        battery,
        said,
    )
    probes = [(f"hard rule {rule}", tuple(examples)) for rule, examples in broken.items()]
    probes += [(fault.title, tuple(shown[fault.name])) for fault in faults]
    return Blame(tuple(probes), tuple(found), note)


def _examples(report: Report, rule: str) -> list[Shown]:
    prompts = {row["probe"]: str(row["prompt"]) for row in report["replies"]}
    fails = [fail for fail in report["hard_fails"] if fail["rule"] == rule][:MOST_EXAMPLES]
    return [Shown(fail["probe"], prompts.get(fail["probe"], ""), 1.0, fail["reply"], None) for fail in fails]


def week_report(journal: Journal, outcome: Outcome, order: Order, settings: Settings) -> dict[str, Any]:
    """Everything the two files say.

    Args:
        journal: of the week.
        outcome: how this run ended.
        order: what was asked for.
        settings: where datasets lie, for finding who is to blame, and the service's address.
    """
    ending, results = outcome.ending, journal.results()
    blame = find_blame(journal, order, settings) if ending is GATE_FAILED else Blame()
    gate = results.get("gate")
    persona = (results.get("export") or {}).get("persona") or order.persona
    return {
        "schema": SCHEMA,
        "created_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "week": {"year": order.week.year, "number": order.week.number, "timezone": order.timezone},
        "days": {"first": order.week.monday.isoformat(), "last": order.week.sunday.isoformat()},
        "persona": persona,
        "outcome": {
            "exit_code": ending.code,
            "name": ending.name,
            "meaning": ending.meaning,
            "stage": outcome.stage,
            "message": outcome.message,
        },
        "stages": [_stage(name, journal.stages[name]) for name in STAGES],
        "verdict": None if gate is None else {key: gate[key] for key in ("verdict", "reasons", "report_id", "report")},
        "blame": _blame(blame) if ending is GATE_FAILED else None,
        "next_step": next_step(ending, order, persona),
        "leave_out": list(leave_out(blame.rows, settings.memory_service_url)),
    }


def next_step(ending: Ending, order: Order, persona: str | None = None) -> str:
    """What the operator may do now, every command with the options this one was run with."""
    rollback = ["casiopy", "deploy", "--rollback", *(["--name", persona] if persona else [])]
    return ending.next_step.format(
        rollback=shlex.join([*rollback, *(["--host", order.host] if order.host else [])]),
        command=order.command(),
        deploying=replace(order, no_deploy=False).command(),
        longer=replace(order, samples=min(2 * order.samples, MOST_LOOKS)).command(),
    )


def _stage(name: str, record: Record) -> dict[str, Any]:
    kept = ("status", "began_at", "ended_at", "seconds", "attempts", "message")
    return {"stage": name, **{key: getattr(record, key) for key in kept}, "figures": record.result or {}}


def _blame(blame: Blame) -> dict[str, Any]:
    return {
        "probes": [{"title": title, "probes": [asdict(one) for one in shown]} for title, shown in blame.probes],
        "rows": [{**asdict(one.exchange), "score": one.score, "reasons": list(one.reasons)} for one in blame.rows],
        "note": blame.note,
    }


def leave_out(rows: Sequence[Suspect], url: str) -> Iterator[str]:
    """The command that leaves each named interaction out of every later dataset, once each.

    A person's score of 0 overrules the scorer's, and lies below every --min-quality but 0.
    """
    ids = (row.exchange.interaction_id for row in rows)
    for interaction_id in dict.fromkeys(one for one in ids if one is not None):
        yield (
            f"curl -X PUT {url}/interactions/{interaction_id}/quality -H 'Content-Type: application/json' "
            "-d '{\"quality_score\": 0}'"
        )


def as_markdown(report: Mapping[str, Any]) -> str:
    """The report for people."""
    from jinja2 import Environment, StrictUndefined

    source = (resources.files("persona_training.weekly") / "templates" / "week.md.jinja").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)  # noqa: S701 (Markdown, not HTML)
    environment.filters |= {"excerpt": excerpt, "duration": duration}
    return environment.from_string(source).render(**report).strip() + "\n"


def duration(seconds: float) -> str:
    """ "42 s", "3 min", "2 h 07 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def write_report(folder: Path, report: Mapping[str, Any]) -> str:
    """Write report.json and report.md, each in one step; returns the text.

    Raises:
        StorageError: the folder cannot be written.
    """
    text = as_markdown(report)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"Cannot write {folder}: {error.strerror}.") from error
    write_text(folder / MARKDOWN, text)
    write_json(folder / JSON, report)
    return text
