"""A whole week on a small random model: interrupted, resumed, judged, kept from Ollama, and in the end deployed.

The service is a small real HTTP server, Ollama the stand-in, training and gate are real. No random model passes the gate, so
the one verdict of "pass" is written over a real report.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from persona_training.adapters import write_json
from persona_training.config import read_recipe
from persona_training.display import Display
from persona_training.evaluation import gate
from persona_training.evaluation.report import Report
from persona_training.ollama.ledger import FILE_NAME, live_entry
from persona_training.ollama.stand_in import StandInOllama
from persona_training.preparation import Request
from persona_training.settings import Settings
from persona_training.smoke import random_base, smoke_recipe
from persona_training.testing import row, write_export
from persona_training.training_run import train
from persona_training.weekly.command import week
from persona_training.weekly.live import live_layer_1, skills_beside
from rich.console import Console

from .service import MemoryService, serving

pytestmark = pytest.mark.training

OTHERS = ("¿En qué puedo ayudarte hoy?", "Claro, con gusto te lo explico.", "Es una pregunta interesante.")


def battery(path: Path) -> Path:
    """A battery small enough for a model that never stops talking."""
    probes = [
        {
            "id": f"p{n:02}",
            "facet": "style",
            "prompt": f"¿Y qué me dices del tema número {n}?",
            "references": [f"*suspiro* Otra vez el tema {n}, mortal.", f"Ay, criatura, el {n} no."],
        }
        for n in range(14)
    ]
    content = {
        "name": "small",
        "version": 1,
        "persona": "casiopy",
        "language": "es",
        "markers": [{"name": "mortal", "title": "mortal", "pattern": r"\bmortal\b", "band": [0.1, 1.0]}],
        "forbidden": {"assistant": ["como asistente"], "refusal": ["lo siento"]},
        "neutral_replies": list(OTHERS),
        "probes": probes,
    }
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path


def exported() -> MemoryService:
    """What the service gives out for week 4: twelve exchanges, each from a session of its own."""
    rows: list[Any] = [
        row([(f"¿Qué tal el día {n}?", f"*bosteza* Como el {n - 1}, mortal.")], f"s{n}") for n in range(12)
    ]
    for n, one in enumerate(rows):
        one["metadata"]["interaction_ids"] = [f"00000000-0000-4000-8000-{n:012}"]
    return MemoryService.of(rows[2:], rows[:2], 2026, 4)


@dataclass
class House:
    """Where everything is, and how the command is run in it."""

    root: Path
    settings: Settings
    service: MemoryService
    ollama: StandInOllama
    layer_1: str

    @property
    def folder(self) -> Path:
        return self.settings.adapters_dir / "weeks" / "2026-W04"

    def run(self, *more: str, host: str | None = None) -> Result:
        flags = ["--week", "4", "--year", "2026", "--recipe", str(self.root / "recipe.yaml"), "--samples", "1"]
        flags += ["--battery", str(self.root / "battery.yaml"), "--host", host or self.ollama.url]
        return CliRunner().invoke(week, [*flags, *more], catch_exceptions=False)

    def journal(self) -> dict[str, Any]:
        stages = json.loads((self.folder / "journal.json").read_text(encoding="utf-8"))["stages"]
        assert isinstance(stages, dict)
        return stages

    def report(self) -> dict[str, Any]:
        told = json.loads((self.folder / "report.json").read_text(encoding="utf-8"))
        assert isinstance(told, dict)
        return told


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    root = tmp_path_factory.mktemp("week")
    base = random_base(root / "base")
    recipe = smoke_recipe(base)
    recipe = dataclasses.replace(
        recipe, device="cpu", steps=dataclasses.replace(recipe.steps, max_steps=2, save_every=2)
    )
    service = exported()
    with serving(service) as url, StandInOllama() as ollama:
        settings = Settings(root / "data", root / "exports", root / "adapters", url)
        personality = [row([(f"Hola {n}", f"*suspiro* Hola, mortal {n}.")], f"p{n}") for n in range(20)]
        told = write_export(settings.exports_dir / "personality", "personality", personality[2:], personality[:2])
        (settings.exports_dir / "personality").rename(settings.exports_dir / told["export_id"])
        layer_1 = train(Request(recipe, [told["export_id"]]), settings, Display(Console(file=StringIO())))
        battery(root / "battery.yaml")
        steps = {"batch_size": 4, "learning_rate": 0.001, "max_steps": 4, "save_every": 1, "eval_every": 0}
        config = {"name": "week", "layer": 2, "base_model": str(base), "max_length": 256, "replay_share": 0.25}
        config |= {"device": "cpu", "dtype": "float32", "threads": 1, "steps": steps, "system_prompt": "omit"}
        config["lora"] = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "target_modules": ["q_proj", "v_proj"]}
        (root / "recipe.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        yield House(root, settings, service, ollama, layer_1.folder.name)


def let_pass(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate is real but for its verdict."""
    judged = gate.run_gate

    def passing(request: gate.Request, *given: Any) -> Report:
        report = judged(request, *given) | {"verdict": "pass", "reasons": []}
        write_json(house.settings.adapters_dir / request.model / "summary.json", report)
        return report

    monkeypatch.setattr(gate, "run_gate", passing)


@pytest.fixture(autouse=True)
def environment(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command reads its folders from the environment, as an operator's timer sets them."""
    monkeypatch.setenv("MEMORY_SERVICE_URL", house.settings.memory_service_url)
    monkeypatch.setenv("CASIOPY_DATA", str(house.settings.data_dir))
    monkeypatch.setenv("EXPORTS_DIR", str(house.settings.exports_dir))
    monkeypatch.setenv("LORA_ADAPTERS_DIR", str(house.settings.adapters_dir))


def test_1_a_dry_run_asks_nobody(house: House) -> None:
    done = house.run("--dry-run")
    assert done.exit_code == 0, done.output
    for part in ("2026-W04 (19 Jan to 25 Jan 2026", "would train layer 2", "would ask that adapter", "casiopy:week04"):
        assert part in done.output
    assert not house.service.posted
    assert not house.folder.exists()


def test_2_a_week_without_rows_ends_calmly(house: House) -> None:
    house.service.nothing = "Of 3 exchanges none was left."
    done = house.run()
    house.service.nothing = None
    assert done.exit_code == 11, done.output
    assert "Of 3 exchanges none was left." in house.report()["outcome"]["message"]
    assert house.run("--min-rows", "11").exit_code == 11
    assert "10 rows to learn, fewer than --min-rows 11" in house.report()["outcome"]["message"]
    assert house.journal()["train"]["status"] == "waiting"


def test_2_an_absent_service_is_named(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_SERVICE_URL", "http://127.0.0.1:9")
    done = house.run()
    assert done.exit_code == 10, done.output
    assert "does not answer at http://127.0.0.1:9" in house.report()["outcome"]["message"]


def test_3_ctrl_c_in_training_leaves_it_resumable(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Display.step

    def stop(display: Display, line: dict[str, Any]) -> None:
        shown(display, line)
        if line["step"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Display, "step", stop)
    done = house.run()
    assert done.exit_code == 130, done.output
    stages = house.journal()
    assert [stages[name]["status"] for name in ("export", "train", "gate")] == ["done", "interrupted", "waiting"]
    assert "the next run goes on from there" in done.output


def test_4_the_next_run_resumes_and_the_gate_stops_it(house: House) -> None:
    done = house.run()
    assert "it is resumed" in done.output
    assert done.exit_code in (30, 31), done.output
    assert house.service.exports() == 3  # twice for too little, once for the dataset: it is not asked for again
    adapters = [path.parent.name for path in house.settings.adapters_dir.glob("episodic-*/manifest.json")]
    stages, told = house.journal(), house.report()
    assert adapters == [stages["train"]["result"]["adapter_id"]]
    assert stages["train"]["result"]["parent"] == house.layer_1
    assert stages["train"]["attempts"] == 2
    assert stages["gate"]["result"]["verdict"] in ("fail", "inconclusive")
    assert told["outcome"]["stage"] == "gate"
    assert told["verdict"]["reasons"]
    assert not house.ollama.models, "nothing may be deployed"
    assert house.run().exit_code == done.exit_code
    assert house.journal()["gate"]["attempts"] == 1, "a verdict is not repeated"


def test_5_after_a_pass_an_absent_ollama_leaves_the_artefacts(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    let_pass(house, monkeypatch)
    done = house.run("--again", "gate", host="127.0.0.1:9")
    assert done.exit_code == 41, done.output
    assert "ollama create casiopy:week04" in house.report()["outcome"]["message"]
    assert list(house.settings.adapters_dir.glob("*/deploy/*.gguf"))
    assert not house.ollama.models


def test_6_then_it_goes_on_with_the_deployment_and_does_nothing_twice(house: House) -> None:
    done = house.run()
    assert done.exit_code == 0, done.output
    assert {"casiopy:week04", "casiopy:latest"} <= set(house.ollama.models)
    assert house.report()["outcome"]["name"] == "deployed"
    asked = len(house.ollama.requests)
    assert house.run().exit_code == 0
    assert len(house.ollama.requests) == asked
    assert "# Week 4 of 2026, casiopy: deployed: the week is live" in (house.folder / "report.md").read_text("utf-8")


def test_6_a_week_that_was_rolled_back_does_not_pass_for_live(house: House) -> None:
    ledger = house.settings.adapters_dir / FILE_NAME
    before = ledger.read_bytes()
    undone = {
        "event": "rollback",
        "tag": "casiopy:week03",
        "digest": "sha256:3",
        "at": "2026-11-21T10:00:00Z",
        "why": "rude",
    }
    with ledger.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**undone, "live": "someone-else:latest"}) + "\n")
    assert house.run().exit_code == 0
    assert house.report()["outcome"]["name"] == "deployed"
    with ledger.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**undone, "live": "casiopy:latest"}) + "\n")
    assert house.run().exit_code == 0
    told = house.report()["outcome"]
    assert told["name"] == "replaced"
    assert told["message"] == "casiopy:latest has been casiopy:week03 since 2026-11-21T10:00:00Z (rollback: rude)."
    ledger.write_bytes(before)
    moment = json.loads(before)["at"]
    assert len(moment) == len("2026-11-21T10:00:00.000Z"), (
        "in whole seconds, the next deployment would pass for this one"
    )
    done = house.run("--again", "deploy")  # as its next step advises
    assert done.exit_code == 0, done.output
    assert house.report()["outcome"]["name"] == "deployed"
    assert ledger.read_bytes().startswith(before)
    assert len(ledger.read_bytes()) > len(before), "it is made live once more"


@pytest.mark.parametrize("stage", ["train", "gate", "deploy"])
def test_7_killed_after_its_work_but_before_its_line_in_the_journal(house: House, stage: str) -> None:
    """What a stage has made is found again: no second adapter, no second verdict, no second deployment."""
    journal = json.loads((house.folder / "journal.json").read_text(encoding="utf-8"))
    before = journal["stages"][stage]["result"]
    journal["stages"][stage] |= {"status": "running", "result": None, "ended_at": None}
    write_json(house.folder / "journal.json", journal)
    created = [step for step, _ in house.ollama.requests].count("create")
    done = house.run()
    assert done.exit_code == 0, done.output
    assert house.journal()[stage]["result"] == before
    assert "by an earlier attempt" in done.output
    assert [step for step, _ in house.ollama.requests].count("create") == created


def test_8_a_skill_is_judged_and_served_with_the_week_and_stays(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    let_pass(house, monkeypatch)
    rows = [row([(f"Carta {n}", f"*ríe por lo bajo* La carta {n}, mortal.")], f"t{n}") for n in range(14)]
    told = write_export(house.settings.exports_dir / "tarot", "skill", rows[2:], rows[:2])
    (house.settings.exports_dir / "tarot").rename(house.settings.exports_dir / told["export_id"])
    week_recipe = read_recipe(house.root / "recipe.yaml")
    recipe = dataclasses.replace(week_recipe, layer=3, steps=dataclasses.replace(week_recipe.steps, max_steps=1))
    request = Request(recipe, [told["export_id"]], skill="tarot", parent=house.layer_1)
    skill = train(request, house.settings, Display(Console(file=StringIO()))).folder.name

    done = house.run("--again", "gate", "--skill", "tarot")
    assert done.exit_code == 0, done.output
    assert "casiopy:week04-tarot" in house.ollama.models
    assert f"joined/{house.journal()['train']['result']['adapter_id']}+{skill}=1" in house.report()["verdict"]["report"]
    entry = live_entry("casiopy", house.settings.adapters_dir)
    assert entry is not None
    assert entry["skills"] == [skill]
    assert skills_beside((), "casiopy", house.settings)[0] == [skill], "the next week is served with it, too"
    assert skills_beside(("none",), "casiopy", house.settings)[0] == []
    parent, why = live_layer_1(None, "casiopy", house.settings)
    assert (parent, "which is live" in why) == (house.layer_1, True)


@pytest.mark.parametrize(
    ("flags", "code", "told"),
    [
        (["--week", "60"], 2, "60"),
        (["--persona", "../../../evil", "--no-deploy"], 2, "'../../../evil' is no slug"),
        (["--persona", ""], 2, "'' is no slug"),
        (["--min-quality", "nan"], 2, "'nan' is not a number"),
        (["--no-deploy", "--again", "deploy"], 2, "Leave one out"),
        (["--week", "53", "--year", "2025"], 2, "has no ISO week 53"),
        (["--battery", "nobody"], 2, "No shipped battery is called 'nobody'"),
        (["--quantize", "Q9"], 2, "Q9"),
        (["--parent", "nobody"], 2, "--parent nobody: No adapter"),
        (["--baseline", "nobody"], 2, "--baseline nobody: No adapter"),
        (["--skill", "nobody=0.5"], 2, "--skill nobody=0.5: No adapter"),
        (["--skill", "nobody=loud"], 2, "must be a number"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_done(flags: list[str], code: int, told: str) -> None:
    done = CliRunner().invoke(week, flags)
    assert (done.exit_code, told in done.output) == (code, True), done.output
