"""The gate from a tag to a verdict and to files, with voices that need no model; and the same results judged again."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import yaml
from click.testing import CliRunner
from persona_training.display import Display
from persona_training.errors import AdapterError, PersonaTrainingError
from persona_training.evaluation import gate as gate_module
from persona_training.evaluation.battery import Battery
from persona_training.evaluation.cast import Voice, without_echoes
from persona_training.evaluation.command import gate
from persona_training.evaluation.gate import Request, run_gate
from persona_training.evaluation.openai_replier import OpenAIServer
from persona_training.evaluation.report import Named, Report
from persona_training.evaluation.rescoring import rescore
from persona_training.evaluation.results import ResultsError, VoiceName
from persona_training.settings import Settings
from rich.console import Console

from .speakers import FakeTags, Speaker, as_assistant, in_character

QUICK: dict[str, Any] = {"prompts": 20, "samples": 2, "dialogue_samples": 0}


@pytest.fixture(autouse=True)
def no_embedding(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence embedding has tests of its own; here it would take most of the time."""
    monkeypatch.setattr(gate_module, "find_embedding", lambda say: None)
    monkeypatch.setattr("persona_training.evaluation.rescoring.find_embedding", lambda say: None)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path / "data",
        exports_dir=tmp_path / "exports",
        adapters_dir=tmp_path / "adapters",
        memory_service_url="http://127.0.0.1:9",
    )


@pytest.fixture
def tags() -> FakeTags:
    return FakeTags(
        {"her:new": Speaker("her:new"), "her:latest": Speaker("her:latest"), "base": Speaker("base", as_assistant)}
    )


def run(settings: Settings, tags: FakeTags, server: OpenAIServer | None = None, **changes: Any) -> tuple[Report, str]:
    text = StringIO()
    request = replace(Request(model="her:new", floor="base"), **{**QUICK, **changes})
    return run_gate(request, settings, tags, Display(Console(file=text, width=200)), server), text.getvalue()


def again(settings: Settings, folder: Path, battery: str | Path = "casiopy", **options: Any) -> tuple[Report, str]:
    text = StringIO()
    report = rescore(folder / "results.jsonl", battery, settings, Display(Console(file=text, width=200)), **options)
    return report, text.getvalue()


def numbers(report: Report) -> dict[str, Any]:
    return {metric["name"]: (metric["candidate"], metric["floor"], metric["verdict"]) for metric in report["metrics"]}


def test_four_voices_one_table(settings: Settings, tags: FakeTags, tmp_path: Path, schemas: dict[str, object]) -> None:
    tags.live = "her:latest"
    tags.speakers["her:gold"] = Speaker("her:gold")
    folder = tmp_path / "report"
    report, said = run(settings, tags, golden="her:gold", save_report=True, output_dir=folder, dialogue_samples=1)
    jsonschema.Draft202012Validator(schemas["report-v1"]).validate(report)  # type: ignore[arg-type]
    assert (report["reference"]["name"], report["golden"]["name"]) == ("her:latest", "her:gold")
    assert report["floor"]["name"] == "base"
    assert {path.name for path in folder.iterdir()} == {"summary.json", "results.jsonl", "junit.xml", "report.html"}
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {line["voice"] for line in lines[1:]} == {"candidate", "reference", "golden", "floor"}
    assert {line["kind"] for line in lines} == {"setting", "reply", "turn", "voice"}
    assert "no adapter here is known to be behind the candidate" in said
    assert "Not registered" in said


def test_the_same_results_give_the_same_verdict(settings: Settings, tags: FakeTags, tmp_path: Path) -> None:
    tags.live = "her:latest"
    first, _ = run(settings, tags, save_report=True, output_dir=tmp_path, dialogue_samples=1)
    second, said = again(settings, tmp_path)
    for key in (
        "verdict",
        "metrics",
        "hard_fails",
        "candidate",
        "reference",
        "floor",
        "battery",
        "seed",
        "serving",
        "look",
    ):
        assert first[key] == second[key], key
    assert "unasked" in said  # the gate asked 20 probes only


def test_a_newer_battery_judges_what_it_has_in_common(
    settings: Settings, tags: FakeTags, tmp_path: Path, battery: Battery
) -> None:
    run(settings, tags, save_report=True, output_dir=tmp_path / "old", prompts=None, samples=1)
    first, other = battery.probes[:2]
    newer = {
        "name": "newer",
        "version": 2,
        "extends": "casiopy",
        "probes": [
            {"id": "brand-new", "facet": "style", "prompt": "¿Y ahora?", "references": ["Ahora, mortal, silencio."]},
            {"id": first.id, "facet": first.facet, "prompt": "Otras palabras", "references": ["Ay, mortal."]},
        ],
    }
    path = tmp_path / "newer.yaml"
    path.write_text(yaml.safe_dump(newer), encoding="utf-8")
    report, said = again(settings, tmp_path / "old", path, save_report=True, output_dir=tmp_path / "new")
    assert f"1 no longer in the battery: {first.id}" in said
    assert f"2 probes that were not asked then: {', '.join(sorted(['brand-new', first.id]))}" in said
    assert report["battery"]["name"] == "newer"
    assert report["battery"]["probes"] == len(battery.probes) - 1
    assert {row["probe"] for row in report["replies"]}.isdisjoint({first.id, "brand-new"})
    old = (tmp_path / "old" / "results.jsonl").read_bytes()
    assert (tmp_path / "new" / "results.jsonl").read_bytes() == old  # whole, for the battery after this one
    assert other.id in old.decode()


def test_results_of_another_character_are_not_judged(settings: Settings, tags: FakeTags, tmp_path: Path) -> None:
    run(settings, tags, save_report=True, output_dir=tmp_path, samples=1, early_stop=False)
    path = tmp_path / "results.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    setting = json.loads(lines[0])
    setting["probes"] = [{**probe, "prompt": "otra cosa"} for probe in setting["probes"]]
    path.write_text("\n".join([json.dumps(setting), *lines[1:]]), encoding="utf-8")
    with pytest.raises(ResultsError, match="No probe of"):
        again(settings, tmp_path)
    path.write_text("\n".join([lines[0], *lines[2:]]), encoding="utf-8")
    with pytest.raises(ResultsError, match="they are incomplete"):
        again(settings, tmp_path)


def test_the_polite_assistant_is_caught_early(settings: Settings, tags: FakeTags) -> None:
    tags.speakers["her:new"] = Speaker("her:new", as_assistant)
    tags.live = "her:latest"
    report, said = run(settings, tags, prompts=None, samples=4)
    assert report["verdict"] == "fail"
    assert report["battery"]["samples"] < 4
    assert f"FAIL after {report['look']} of 4 rounds" in said
    whole, _ = run(settings, tags, prompts=None, samples=2, early_stop=False)
    assert (whole["battery"]["samples"], whole["looks"]) == (2, 1)


def test_the_floor_is_not_asked_twice(settings: Settings, tags: FakeTags) -> None:
    run(settings, tags)
    before = len(tags.speakers["base"].heard)
    tags.speakers["her:newer"] = Speaker("her:newer", lambda asked, seed: in_character(asked, seed + 1))
    _, said = run(settings, tags, model="her:newer")
    assert len(tags.speakers["base"].heard) == before
    assert "portions kept from an earlier gate" in said
    run(settings, tags, model="her:newer", redraw=True)
    assert len(tags.speakers["base"].heard) == 2 * before


def test_a_golden_version_that_is_the_reference_is_heard_once(settings: Settings, tags: FakeTags) -> None:
    report, said = run(settings, tags, baseline="her:latest", golden="her:latest")
    assert (report["golden"], report["reference"]["name"]) == (None, "her:latest")
    assert "her:latest is the reference itself" in said


def test_nobody_is_compared_with_herself(settings: Settings, tags: FakeTags) -> None:
    with pytest.raises(AdapterError, match="--baseline her:new has the candidate's own weights"):
        run(settings, tags, baseline="her:new")
    report, said = run(settings, tags, baseline="none", golden="her:new", samples=1)
    assert (report["golden"], report["reference"], report["floor"]["name"]) == (None, None, "base")
    assert "her:new is the candidate itself" in said


def test_the_same_weights_under_another_name_are_the_same() -> None:
    def voice(name: str, weights: str | None) -> Voice:
        return Voice(Named(name, None, weights), {"in": "ollama", "digest": f"digest of {name}"})

    text = StringIO()
    display = Display(Console(file=text, width=200))
    found: dict[VoiceName, Voice] = {
        "candidate": voice("q4", "a" * 64),
        "reference": voice("q8", "a" * 64),
        "golden": voice("f16", "a" * 64),
        "floor": voice("base", None),
    }
    with pytest.raises(AdapterError, match="or 'none'"):
        without_echoes(found, display, baseline="q8")
    assert list(without_echoes(found, display, baseline=None)) == ["candidate", "floor"]
    assert "q8 has the candidate's own weights" in text.getvalue()
    unknown: dict[VoiceName, Voice] = {"candidate": voice("new", None), "reference": voice("old", None)}
    assert without_echoes(unknown, display, baseline="old") == unknown


def test_results_of_a_comparison_with_herself_are_not_judged(
    settings: Settings, tags: FakeTags, tmp_path: Path
) -> None:
    run(settings, tags, save_report=True, output_dir=tmp_path, samples=1, baseline="her:latest")
    path = tmp_path / "results.jsonl"
    first, *rest = path.read_text(encoding="utf-8").splitlines()
    setting = json.loads(first)
    for name in ("candidate", "reference"):
        setting["voices"][name]["weights_sha256"] = "a" * 64
    path.write_text("\n".join([json.dumps(setting), *rest]), encoding="utf-8")
    with pytest.raises(ResultsError, match="the candidate's own weights"):
        again(settings, tmp_path)


def test_a_smoke_gate_is_twenty_probes_and_no_dialogues(settings: Settings, tags: FakeTags) -> None:
    report, said = run(settings, tags, smoke=True, prompts=None, dialogue_samples=2, early_stop=False)
    assert (report["battery"]["probes"], report["battery"]["dialogues"]) == (20, 0)
    assert "No perplexity" not in said  # it was not asked for


def test_this_weeks_probes_are_asked_too(settings: Settings, tags: FakeTags, tmp_path: Path, battery: Battery) -> None:
    probe = {
        "id": "w05",
        "facet": "weekly",
        "prompt": "¿Quién ganó?",
        "expect": ["Marta"],
        "references": ["Marta, mortal."],
    }
    path = tmp_path / "week.yaml"
    content = {"name": "casiopy-week", "version": 1, "extends": "casiopy", "probes": [probe]}
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    run(settings, tags, prompts=None, samples=1)
    asked = len(tags.speakers["base"].heard)
    report, _ = run(settings, tags, weekly=path, prompts=None, samples=1)
    assert report["battery"]["probes"] == len(battery.probes) + 1
    assert asked == len(battery.probes)
    assert len(tags.speakers["base"].heard) - asked == len(battery.probes) % 32 + 1  # the last portion only


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "nobody"}, "Nothing is called 'nobody'"),
        ({"baseline": "gone"}, "Ollama does not serve 'gone'"),
        ({"floor": "gone"}, "Ollama does not serve 'gone'"),
        ({"golden": "gone"}, "No adapter 'gone'"),
        ({"samples": 0}, "--samples"),
        ({"backend": "openai"}, "OPENAI_BASE_URL"),
    ],
)
def test_who_cannot_be_heard(settings: Settings, tags: FakeTags, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(PersonaTrainingError, match=words):
        run(settings, tags, **changes)


def test_a_chat_completions_server_is_told_who_she_is(settings: Settings, tags: FakeTags, tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []
    speakers = {"her": Speaker("her"), "base": Speaker("base", as_assistant)}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"data": [{"id": name} for name in speakers]})
        body = json.loads(request.content)
        asked.append(body)
        text = speakers[body["model"]].rule(body["messages"][-1]["content"], body["seed"])
        return httpx.Response(200, json={"choices": [{"message": {"content": text}}]})

    server = OpenAIServer("her.test", environ={}, transport=httpx.MockTransport(answer))
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("Eres Casiopy.", encoding="utf-8")
    report, _ = run(settings, tags, server, model="her", backend="openai", system_prompt=prompt)
    assert report["serving"]["backend"] == "openai"
    assert {body["messages"][0]["content"] for body in asked} == {"Eres Casiopy."}
    assert list((settings.data_dir / "gate").iterdir()) == []  # other weights may answer to that name tomorrow
    with pytest.raises(AdapterError, match="does not serve 'him'"):
        run(settings, tags, server, model="him", backend="openai", system_prompt=prompt)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "Missing option '--model'"),
        (["--rescore", "results.jsonl", "--model", "x"], "--model cannot be given"),
        (["--rescore", "gone.jsonl"], "does not exist"),
        (["--rescore", "results.jsonl"], "is empty"),
        (["--model", "x", "--battery", "casiopy", "--weekly", "results.jsonl"], "stands in for --battery"),
        (["--model", "x", "--smoke", "--dialogue-samples", "2"], "--smoke holds no dialogues"),
        (["--model", "x", "--no-dialogues", "--dialogue-samples", "2"], "--no-dialogues holds no dialogues"),
        (["--model", "x", "--samples", "2", "--dialogue-samples", "3"], "--samples allows 2 rounds"),
        (["--model", "x", "--backend", "openai"], "set OPENAI_BASE_URL"),
        (["--model", "x", "--backend", "openai", "--host", "127.0.0.1:9"], "Nobody answers"),
    ],
)
def test_options_that_do_not_go_together(
    options: list[str], words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    (tmp_path / "results.jsonl").touch()
    result = CliRunner().invoke(gate, options)
    assert (result.exit_code, words in result.output) == (3, True), result.output


def test_ctrl_c_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> Report:
        raise KeyboardInterrupt

    monkeypatch.setattr(gate_module, "run_gate", interrupted)
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    result = CliRunner().invoke(gate, ["--model", "x"])
    assert (result.exit_code, "What was heard is kept" in result.output) == (3, True)
