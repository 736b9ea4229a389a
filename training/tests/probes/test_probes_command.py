"""`casiopy probes` on the command line, from a card alone and from a service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result
from persona_training.cli import main
from persona_training.evaluation.battery import load_battery

from .conftest import Service, card, entry, interaction, memory, user

OPENAPI = Path(__file__).parents[3] / "docs" / "reference" / "openapi.json"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEMORY_SERVICE_URL", raising=False)
    (tmp_path / "card.json").write_text(json.dumps(card()), encoding="utf-8")
    return tmp_path


def probes(*arguments: str, fails: bool = False) -> str:
    result: Result = CliRunner().invoke(main, ["probes", *arguments], catch_exceptions=False)
    assert (result.exit_code != 0) == fails, result.output
    return result.output


def test_from_a_card_alone_without_any_service(here: Path) -> None:
    said = probes("draft", "--card", "card.json", "--output", "mika.yaml", "--url", "http://127.0.0.1:9")
    battery = load_battery("mika.yaml")
    assert f"{len(battery.probes)} probes" in said
    assert "casiopy probes check mika.yaml" in said
    assert (battery.name, battery.language) == ("mika-fox", "en")
    assert len(battery.probes) >= 80
    assert len(battery.corpora.persona) == 20
    core = {probe.prompt: probe.expect for probe in battery.probes if probe.facet == "core_memory"}
    assert core["How old are you?"] == ("312",)
    assert any("rival" in prompt for prompt in core)
    checked = probes("check", "mika.yaml")
    assert "0 to put right" in checked
    assert "places are still marked LOOK" in " ".join(checked.replace("│", " ").split())


@pytest.mark.parametrize(
    ("spoken", "heard"),
    [
        ("*yawns* I told {{user}} already, go away now.", "I told chat already"),
        ("Se lo dije a {{user}} ayer, mortal.", "dije a el chat"),
    ],
)
def test_who_is_spoken_to_is_named_in_her_language(here: Path, spoken: str, heard: str) -> None:
    Path("card.json").write_text(
        json.dumps(card(mes_example="", first_mes=spoken, alternate_greetings=[])), encoding="utf-8"
    )
    probes("draft", "--card", "card.json", "--output", "mika.yaml")
    assert heard in Path("mika.yaml").read_text("utf-8")


def test_a_file_somebody_may_have_edited_is_not_written_over(here: Path) -> None:
    (here / "mika.yaml").write_text("mine", encoding="utf-8")
    said = probes("draft", "--card", "card.json", "--output", "mika.yaml", fails=True)
    assert "there already" in said
    assert (here / "mika.yaml").read_text("utf-8") == "mine"
    probes("draft", "--card", "card.json", "--output", "mika.yaml", "--force")
    assert load_battery("mika.yaml").persona == "mika-fox"


def test_from_what_the_service_knows(here: Path, service: Service) -> None:
    probes("draft", "--persona", "mika", "--url", service.url, "--output", "mika.yaml")
    battery = load_battery("mika.yaml")
    core = [probe for probe in battery.probes if probe.facet == "core_memory"]
    assert [probe.expect for probe in core] == [("Kyoto",), ("Gyokuro",)]
    references = {reference for probe in battery.probes for reference in probe.references}
    assert "*yawns* A human rated this one, peasant." in references
    assert {marker.name for marker in battery.markers} >= {"stage_yawns", "word_peasant"}
    assert not battery.corpora.persona
    both = probes("draft", "--persona", "mika", "--card", "card.json", "--url", service.url, "--output", "both.yaml")
    assert "20 held-out pairs" in both


def test_bad_replies_are_not_asked_for(here: Path, service: Service) -> None:
    said = probes(
        "draft", "--persona", "mika", "--min-quality", "0.95", "--url", service.url, "--output", "m.yaml", fails=True
    )
    assert "lower --min-quality" in said


def test_the_facts_of_a_week(here: Path, service: Service) -> None:
    probes("draft", "--card", "card.json", "--output", "mika.yaml")
    arguments = ("--week", "5", "--year", "2026", "--persona", "mika", "--extends", "mika.yaml", "--url", service.url)
    probes("draft", *arguments, "--output", "week.yaml")
    week = load_battery("week.yaml")
    asked = [probe for probe in week.probes if probe.id.startswith("week-2026-w05")]
    assert [probe.expect for probe in asked] == [("41 minutes",), ("Lantern Night",), ("Kettle Hour",)]
    text = Path("week.yaml").read_text("utf-8")
    for private in ("Osaka", "Nagoya", "Sapporo", "example.org", "viewer_"):
        assert private not in text
    assert "0 to put right" in probes("check", "week.yaml")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Give --card FILE, --persona SLUG or both"),
        (("--year", "2026"), "--year goes with --week"),
        (("--week", "5", "--card", "card.json"), "not with --week"),
        (("--card", "gone.json"), "cannot be read"),
        (("--persona", "mika", "--min-quality", "nan"), "'nan' is not a number"),
        (("--persona", "mika", "--url", "http://127.0.0.1:9"), "does not answer"),
        (("--persona", "mika", "--url", "nonsense"), "no address of a service"),
        (("--week", "53", "--year", "2025"), "2025 has no ISO week 53"),
        (("--week", "5", "--timezone", "Mars"), "Unknown time zone 'Mars'"),
        (("--card", "card.json", "--output", "mika.txt"), "must end in .yaml"),
        (("--card", "card.json", "--output", "no/mika.yaml"), "There is no folder no"),
    ],
)
def test_a_wrong_call_says_what_to_do(arguments: tuple[str, ...], said: str) -> None:
    output = () if "--output" in arguments else ("--output", "mika.yaml")
    assert said in " ".join(probes("draft", *arguments, *output, fails=True).split())
    assert not Path("mika.yaml").exists()


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ((401, b"{}"), "asks for a key"),
        ((500, b"oops"), "refused /api/v1/personas (500): oops"),
        ((200, b"<html>"), "answered something else"),
    ],
)
def test_a_service_that_refuses(service: Service, refusal: tuple[int, bytes], said: str) -> None:
    service.refusal = refusal
    assert said in probes("draft", "--persona", "mika", "--url", service.url, "--output", "m.yaml", fails=True)


def test_nobody_of_that_name(service: Service) -> None:
    said = probes("draft", "--persona", "nobody", "--url", service.url, "--output", "m.yaml", fails=True)
    assert "knows no persona 'nobody'. It knows: mika." in said


def test_a_check_that_finds_something_wrong_fails(here: Path) -> None:
    probes("draft", "--card", "card.json", "--output", "mika.yaml")
    text = Path("mika.yaml").read_text("utf-8").replace("- '312'", "- '313'")
    Path("mika.yaml").write_text(text, encoding="utf-8")
    said = " ".join(probes("check", "mika.yaml", fails=True).replace("│", " ").split())
    assert "says none of what is expected: 313" in said
    assert "1 to put right" in said
    assert "No battery file" in probes("check", "gone.yaml", fails=True)


@pytest.mark.parametrize(
    ("schema", "made"),
    [
        ("CoreMemoryItem", entry("like", "tea", "Tea.")),
        ("InteractionItem", {**interaction("a", "b", 0.5, "human"), "quality": {}}),
        ("MemoryItem", memory("Something.")),
        ("UserItem", user("viewer_1")),
    ],
)
def test_the_stand_in_answers_like_the_service(schema: str, made: dict[str, Any]) -> None:
    document = json.loads(OPENAPI.read_text("utf-8"))
    described = document["components"]["schemas"][schema]
    assert set(described["required"]) <= set(made)
    properties = {name: shape for name, shape in described["properties"].items() if name != "quality"}
    wanted = {"type": "object", "properties": properties, "components": document["components"]}
    jsonschema.Draft202012Validator(wanted).validate(made)
