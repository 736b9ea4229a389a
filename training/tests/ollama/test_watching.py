"""The watch: acts on a hard fail, warns of the rest, and never goes back to what is no better."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner
from persona_training.ollama.command import deploy
from persona_training.ollama.deployment import Request, make_plan, undo, write_and_deploy
from persona_training.ollama.hearing import heard_in, report_at_deployment
from persona_training.ollama.ledger import entries
from persona_training.ollama.server import OllamaError, OllamaServer
from persona_training.ollama.stand_in import StandInOllama
from persona_training.ollama.watching import Heard, Outcome, Watch, seconds_of

LAYER_1 = "personality-20260101T000000"
LAYER_2 = "episodic-2026-w05-20260201T000000"
BROKEN = Heard(hard=("template token: 3 of 80 replies",))
House = Any  # conftest.House; test modules cannot import a conftest


@pytest.fixture
def server(ollama: StandInOllama) -> OllamaServer:
    return OllamaServer(ollama.url)


@pytest.fixture
def put_live(house: House, server: OllamaServer) -> Callable[[Request], None]:
    def go(request: Request) -> None:
        plan = make_plan(request, house.settings, house.service, house.display)
        write_and_deploy(plan, server, house.service, house.settings, house.display)

    return go


def watch(house: House, server: OllamaServer, *heard: Heard) -> Watch:
    """A watch whose ear says these things, one per look."""
    said = iter(heard)
    return Watch("casiopy", lambda _tag: next(said), server, house.service, house.settings, house.display)


def shown(house: House) -> str:
    return " ".join(house.shown.getvalue().split())


def digest(ollama: StandInOllama, tag: str) -> str:
    return str(ollama.models[tag]["digest"])


def test_a_hard_fail_brings_back_the_version_before(
    house: House, ollama: StandInOllama, server: OllamaServer, put_live: Any
) -> None:
    put_live(Request(adapter=LAYER_1))
    put_live(Request(week=5))
    good, bad = digest(ollama, "casiopy:previous"), digest(ollama, "casiopy:latest")
    assert watch(house, server, BROKEN).look() is Outcome.ROLLED_BACK
    assert (digest(ollama, "casiopy:latest"), digest(ollama, "casiopy:previous")) == (good, bad)
    last = entries(house.settings.adapters_dir)[-1]
    assert (last["event"], last["by"], last["adapter_id"]) == ("rollback", "watch", LAYER_1)
    assert last["why"] == "hard fail: template token: 3 of 80 replies"
    path, told = house.posted[-1]
    assert (path, told["live"], told["smoke"]["why"]) == (f"/adapters/{LAYER_1}/deployments", True, last["why"])
    assert "ROLLED BACK casiopy:latest" in shown(house)


def test_it_never_goes_back_to_what_it_left(
    house: House, ollama: StandInOllama, server: OllamaServer, put_live: Any
) -> None:
    put_live(Request(adapter=LAYER_1))
    put_live(Request(week=5))
    both = watch(house, server, BROKEN, BROKEN, BROKEN)
    assert both.look() is Outcome.ROLLED_BACK
    kept = digest(ollama, "casiopy:latest")
    assert [both.look(), both.look()] == [Outcome.KEPT, Outcome.KEPT]
    assert digest(ollama, "casiopy:latest") == kept
    assert "the version before was rolled back from too (hard fail: template token" in shown(house)
    # A person may: and what a person has made live again is no longer held against it.
    undo("casiopy", server, house.service, house.settings, house.display)
    undo("casiopy", server, house.service, house.settings, house.display)
    assert watch(house, server, BROKEN).look() is Outcome.ROLLED_BACK


def test_it_leaves_alone_what_was_made_live_while_it_tried_the_version_before(
    house: House, ollama: StandInOllama, server: OllamaServer, put_live: Any
) -> None:
    put_live(Request(adapter=LAYER_1))
    put_live(Request(week=5))
    new = digest(ollama, "casiopy:personality")

    def somebody_deploys(*_: Any) -> str:
        server.copy("casiopy:personality", "casiopy:latest")
        return "Aquí estoy."

    ollama.speak = somebody_deploys
    before = len(entries(house.settings.adapters_dir))
    assert watch(house, server, BROKEN).look() is Outcome.WARNED
    assert digest(ollama, "casiopy:latest") == new
    assert len(entries(house.settings.adapters_dir)) == before
    assert "was changed while it was heard" in shown(house)


def test_with_nothing_before_it_says_so_and_keeps(
    house: House, ollama: StandInOllama, server: OllamaServer, put_live: Any
) -> None:
    put_live(Request(week=5))
    assert watch(house, server, BROKEN).look() is Outcome.KEPT
    assert "there is no version before. Deploy a version that passes." in shown(house)
    assert len(entries(house.settings.adapters_dir)) == 1


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("trouble", ["silent", "erased"])
def test_a_version_before_that_is_no_better_stays_there(
    house: House, ollama: StandInOllama, server: OllamaServer, put_live: Any, trouble: str, dry_run: bool
) -> None:
    put_live(Request(adapter=LAYER_1))
    put_live(Request(week=5))
    live = digest(ollama, "casiopy:latest")
    if trouble == "silent":
        ollama.speak = lambda tag, *_: "" if tag == "casiopy:previous" else "Aquí estoy."
    else:
        house.erased[LAYER_1] = "2026-02-03T10:00:00Z"
    assert replace(watch(house, server, BROKEN), dry_run=dry_run).look() is Outcome.KEPT
    assert digest(ollama, "casiopy:latest") == live
    assert ("fails its smoke test" if trouble == "silent" else "had erased") in shown(house)


def test_softer_findings_only_warn(house: House, ollama: StandInOllama, server: OllamaServer, put_live: Any) -> None:
    put_live(Request(adapter=LAYER_1))
    put_live(Request(week=5))
    live = digest(ollama, "casiopy:latest")
    looks = watch(house, server, Heard(soft=("Length: fail.",)), Heard())
    assert [looks.look(), looks.look()] == [Outcome.WARNED, Outcome.FINE]
    assert digest(ollama, "casiopy:latest") == live
    assert "warning Length: fail." in shown(house)


def test_a_deployment_during_a_look_is_not_punished_for_the_version_before(
    house: House, ollama: StandInOllama, server: OllamaServer, put_live: Any
) -> None:
    put_live(Request(adapter=LAYER_1))

    def hear(_tag: str) -> Heard:
        put_live(Request(week=5))
        return BROKEN

    looking = Watch("casiopy", hear, server, house.service, house.settings, house.display)
    assert looking.look() is Outcome.WARNED
    assert ollama.models["casiopy:latest"] == ollama.models["casiopy:week05"]


def test_it_goes_on_looking_whatever_happens(house: House, ollama: StandInOllama, server: OllamaServer) -> None:
    waits: list[float] = []
    with pytest.raises(OllamaError, match="Nothing to watch"):
        watch(house, server).look()
    watch(house, server).keep_looking(60.0, waits.append, looks=3)
    assert waits == [60.0, 60.0]
    assert shown(house).count("this look decided nothing: Nothing to watch") == 3


def test_a_report_is_read_for_what_is_broken() -> None:
    rule = {"rule": "loop", "why": "it repeats itself", "count": 3, "replies": 80, "broken": True}
    whole = {"rule": "leak", "why": "it tells the prompt", "count": 0, "replies": 80, "broken": False}
    metrics = [
        {"title": title, "verdict": verdict, "explain": "Why.", "advisory": advisory}
        for title, verdict, advisory in (("A", "fail", False), ("B", "fail", True), ("C", "pass", False))
    ]
    heard = heard_in({"hard_rules": [whole, rule], "metrics": metrics})
    assert heard == Heard(hard=("loop: 3 of 80 replies (it repeats itself)",), soft=("A: fail. Why.",))
    # What was so at the deployment is no news; what the gate was overruled about does not act.
    then = {"hard_rules": [whole, rule], "metrics": metrics}
    assert heard_in(then, then).hard == heard.hard
    assert heard_in(then, then).soft == ()
    assert heard_in(then, then, forced=True) == Heard(
        soft=("loop: 3 of 80 replies (it repeats itself); so it was when the gate was overruled",)
    )


def test_the_baseline_is_the_report_of_the_deployment(house: House, ollama: StandInOllama, put_live: Any) -> None:
    put_live(Request(week=5))
    adapters_dir, now = house.settings.adapters_dir, digest(ollama, "casiopy:latest")
    report, forced = report_at_deployment(adapters_dir, now)
    assert report is not None
    assert (report["report_id"], forced) == ("report-2", False)
    house.change_report(LAYER_2, report_id="a later gate")
    assert report_at_deployment(adapters_dir, now) == (None, False)
    assert report_at_deployment(adapters_dir, None) == (None, False)
    house.change_report(LAYER_2, report_id="report-2", metrics=None)
    assert report_at_deployment(adapters_dir, now) == (None, False)  # damaged


def test_cron_gets_an_exit_code(
    house: House, ollama: StandInOllama, put_live: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole watch as cron starts it, with the gate's own ear."""
    put_live(Request(adapter=LAYER_1))
    put_live(Request(week=5))
    good = digest(ollama, "casiopy:previous")
    for name, value in {
        "LORA_ADAPTERS_DIR": house.settings.adapters_dir,
        "EXPORTS_DIR": house.settings.exports_dir,
        "CASIOPY_DATA": house.settings.data_dir,
        "MEMORY_SERVICE_URL": "http://127.0.0.1:9",
        "COLUMNS": "300",
    }.items():
        monkeypatch.setenv(name, str(value))
    ollama.speak = lambda tag, *_: "<|im_start|>user" if tag == "casiopy:latest" else "Aquí estoy, mortal."
    look = ["--watch", "--once", "--host", ollama.url]
    bad = digest(ollama, "casiopy:latest")
    result = CliRunner().invoke(deploy, [*look, "--dry-run"])
    assert (result.exit_code, "WOULD ROLL BACK casiopy:latest" in result.output) == (5, True), result.output
    assert (digest(ollama, "casiopy:latest"), len(entries(house.settings.adapters_dir))) == (bad, 2)
    asked = ollama.count("chat")
    result = CliRunner().invoke(deploy, look)
    assert (result.exit_code, "ROLLED BACK casiopy:latest" in result.output) == (5, True), result.output
    assert digest(ollama, "casiopy:latest") == good
    assert ollama.count("chat") - asked == 20 * 4 + 3  # the smoke examination, and the version before's three questions
    result = CliRunner().invoke(deploy, look)
    assert (result.exit_code, "KEPT casiopy:latest" in result.output) == (6, True), result.output
    assert [entry["by"] for entry in entries(house.settings.adapters_dir)] == ["command", "command", "watch"]
    assert json.loads((house.adapter(LAYER_2) / "summary.json").read_text(encoding="utf-8"))["report_id"] == "report-2"
    result = CliRunner().invoke(deploy, ["--watch", "--once", "--host", "127.0.0.1:9"])
    assert result.exit_code == 3


def test_rolled_back_to_it_is_still_the_version_that_was_forced(
    house: House, ollama: StandInOllama, server: OllamaServer, put_live: Any
) -> None:
    house.change_report(LAYER_2, verdict="fail")
    put_live(Request(week=5, force=True, reason="stream in ten minutes"))
    put_live(Request(adapter=LAYER_1))
    back = undo("casiopy", server, house.service, house.settings, house.display, why="she stutters")
    assert (back.adapter_id, back.forced, back.why) == (LAYER_2, "stream in ten minutes", "she stutters")
    report, forced = report_at_deployment(house.settings.adapters_dir, digest(ollama, "casiopy:latest"))
    assert (report is not None, forced) == (True, True)


@pytest.mark.parametrize(("text", "seconds"), [("30m", 1800), ("6h", 21600), ("1d", 86400), (" 1m ", 60)])
def test_spans(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "6", "0m", "-1h", "six hours", "1.5h", "30s"])
def test_wrong_spans_are_wrong_options(text: str) -> None:
    with pytest.raises(ValueError, match="is no span of time"):
        seconds_of(text)
    result = CliRunner().invoke(deploy, ["--watch", f"--every={text}"])
    assert (result.exit_code, "is no span of time" in result.output) == (2, True)


def test_watching_and_rolling_back_are_two_things() -> None:
    result = CliRunner().invoke(deploy, ["--watch", "--rollback"])
    assert (result.exit_code, "give one of them" in result.output) == (2, True)
