"""The report of a week: what people and programs find in it, and that its commands are what the service takes."""

import json
import shlex
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jsonschema
import pytest
from persona_training.adapters import write_json
from persona_training.evaluation.battery import load_battery
from persona_training.settings import Settings
from persona_training.testing import row, write_export
from persona_training.weekly.command import week
from persona_training.weekly.endings import DEPLOYED, ENDINGS, GATE_FAILED, INCONCLUSIVE, PASSED, Ending
from persona_training.weekly.journal import Journal
from persona_training.weekly.machine import Outcome
from persona_training.weekly.order import Order
from persona_training.weekly.report import as_markdown, duration, next_step, week_report, write_report

from .fakes import WEEK, journal_in
from .reports import POLITE, metric, report

OPENAPI = Path(__file__).parents[3] / "docs" / "reference" / "openapi.json"
BAD = str(uuid4())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path / "data",
        exports_dir=tmp_path / "exports",
        adapters_dir=tmp_path / "adapters",
        memory_service_url="http://127.0.0.1:8820",
    )


@pytest.fixture
def journal(settings: Settings) -> Journal:
    """A week whose gate failed: assistant tone, learned from one row."""
    rows: list[Any] = [row([(f"pregunta {n}", f"*suspiro* Respuesta {n}, mortal.")], f"s{n}") for n in range(11)]
    rows.append(row([("¿Me ayudas?", f"{POLITE} | raro")], "s11"))
    rows[-1]["metadata"]["interaction_ids"] = [BAD]
    exported = write_export(settings.exports_dir / "week", "episodic", rows, [])
    (settings.exports_dir / "week").rename(settings.exports_dir / exported["export_id"])
    journal = journal_in(settings.adapters_dir)
    results: dict[Any, dict[str, Any]] = {
        "export": {"export_id": exported["export_id"], "persona": "casiopy", "rows": 12, "held_out": 0},
        "train": {"adapter_id": "episodic-2026-w47-x", "train_loss": 1.23456, "eval_loss": None, "steps": 8},
        "gate": {"report_id": "report-x", "verdict": "fail", "reasons": ["assistant tone: fail."], "report": "r.html"},
    }
    for name, result in results.items():
        since = journal.begin(name, {})
        journal.end(name, "done", 61.0, result=result)
    failed = report(load_battery(), lambda _: POLITE, [metric("assistant_tone", 1.0, 0.0)], samples=1)
    write_json(journal.folder / "gate.json", {"since": since, "adapter_id": "episodic-2026-w47-x", "report": failed})
    return journal


FAILED = Outcome(GATE_FAILED, "gate", "The gate's verdict is fail: assistant tone: fail.")


def test_a_failed_week_names_probes_rows_and_what_to_do(journal: Journal, settings: Settings) -> None:
    told = week_report(journal, FAILED, Order(WEEK), settings)
    assert told["outcome"]["exit_code"] == 30
    (fault,) = told["blame"]["probes"]
    assert (fault["title"], len(fault["probes"])) == ("assistant tone", 3)
    first = told["blame"]["rows"][0]
    assert (first["row"], first["interaction_id"]) == ("train.jsonl:12", BAD)
    text = write_report(journal.folder, told)
    for part in (
        "# Week 47 of 2026, casiopy: the gate failed her: what is deployed is untouched",
        "2026-11-16 to 2026-11-22 (Europe/Madrid)",
        "exit code 30",
        "| export | done | ",
        "| deploy | waiting | – | – |",
        "train loss 1.235",
        "- assistant tone: fail.",
        f"1. `train.jsonl:12` interaction {BAD}",
        "no proof",
        "casiopy week --week 47 --year 2026 --again export",
    ):
        assert part in text
    assert (journal.folder / "report.md").read_text(encoding="utf-8") == text
    assert json.loads((journal.folder / "report.json").read_text(encoding="utf-8")) == told
    assert sorted(path.name for path in journal.folder.iterdir()) == [
        "gate.json",
        "journal.json",
        "report.json",
        "report.md",
    ]


def test_leaving_rows_out_is_a_request_the_service_takes(journal: Journal, settings: Settings) -> None:
    commands = week_report(journal, FAILED, Order(WEEK), settings)["leave_out"]
    program, flag, method, url, *rest = shlex.split(commands[0])
    assert (program, flag) == ("curl", "-X")
    described = json.loads(OPENAPI.read_text(encoding="utf-8"))
    path = url.removeprefix(settings.memory_service_url)
    operation = described["paths"]["/api/v1/interactions/{interaction_id}/quality"][method.lower()]
    assert path == f"/interactions/{UUID(BAD)}/quality"
    assert rest[:3] == ["-H", "Content-Type: application/json", "-d"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"] | {"components": described["components"]}
    jsonschema.Draft202012Validator(schema).validate(json.loads(rest[3]))


def test_a_dataset_that_was_deleted_is_said(journal: Journal, settings: Settings) -> None:
    journal.stages["export"].result = {"export_id": "episodic-2026-w47-00000000", "persona": "casiopy"}
    told = week_report(journal, FAILED, Order(WEEK), settings)
    assert "Nothing could be compared" in told["blame"]["note"]
    (journal.folder / "gate.json").unlink()
    assert "not at hand" in week_report(journal, FAILED, Order(WEEK), settings)["blame"]["note"]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("metrics", None, "gate.json is damaged"),
        ("replies", {"a": 1}, "gate.json is damaged"),
        ("hard_rules", [{"broken": True}], "not at hand"),
        ("verdict", "splendid", "not at hand"),
    ],
)
def test_a_damaged_gate_report_blames_nobody(
    journal: Journal, settings: Settings, key: str, value: object, told: str
) -> None:
    kept = json.loads((journal.folder / "gate.json").read_text(encoding="utf-8"))
    kept["report"].pop(key)
    if value is not None:
        kept["report"][key] = value
    write_json(journal.folder / "gate.json", kept)
    text = as_markdown(week_report(journal, FAILED, Order(WEEK), settings))
    assert told in text
    assert "## Next" in text


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.name)
def test_every_ending_can_be_told(ending: Ending, settings: Settings) -> None:
    told = week_report(journal_in(settings.adapters_dir), Outcome(ending, None), Order(WEEK), settings)
    text = as_markdown(told)
    assert ending.meaning in text
    assert next_step(ending, Order(WEEK)) in text
    assert ("## Where it shows" in text) == (ending is GATE_FAILED)
    if ending is DEPLOYED:
        assert "## To leave those rows out" not in text


def test_what_is_advised_is_the_command_that_was_run() -> None:
    """Every option of it: with the shipped battery or for another persona, the next run would be another week."""
    plain = Order(WEEK)
    assert plain.command() == "casiopy week --week 47 --year 2026"
    assert next_step(INCONCLUSIVE, plain).endswith("`casiopy week --week 47 --year 2026 --samples 8 --again gate`.")
    assert next_step(DEPLOYED, plain, "mika") == "Nothing. `casiopy deploy --rollback --name mika` returns to before."
    order = replace(
        plain, persona="mika", battery="my probes.yaml", skills=("chess=0.5", "go"), samples=60, no_deploy=True
    )
    hers = "casiopy week --week 47 --year 2026 --persona mika --battery 'my probes.yaml'"
    assert f"`{hers} --samples 64 --skill chess=0.5 --skill go --no-deploy --again gate`" in next_step(
        INCONCLUSIVE, order
    )
    assert f"`{hers} --samples 60 --skill chess=0.5 --skill go`" in next_step(PASSED, order)


def test_every_option_of_an_order_is_one_of_the_command(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.touch()
    given: dict[str, Any] = {
        "timezone": "UTC", "persona": "mika", "min_quality": 0.5, "min_rows": 3, "recipe": recipe, "parent": "one",
        "device": "cpu", "allow_personal_data": "she agreed", "battery": "b", "baseline": "none", "prompts": 20, "samples": 5,
        "skills": ("chess", "go"), "host": "http://10.0.0.1:11434", "quantize": "F16", "form": "adapter", "no_deploy": True,
    }  # fmt: skip
    order = Order(WEEK, **given)
    assert given.keys() == {one.name for one in fields(Order)} - {"week"}
    read = week.make_context("week", shlex.split(order.command())[2:]).params
    assert (read["number"], read["year"]) == (47, 2026)
    assert {name: read[name] for name in given} == given


@pytest.mark.parametrize(("seconds", "told"), [(0.2, "0 s"), (59.6, "1 min"), (3599, "59 min"), (7620, "2 h 07 min")])
def test_durations(seconds: float, told: str) -> None:
    assert duration(seconds) == told
