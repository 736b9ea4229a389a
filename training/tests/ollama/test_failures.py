"""Whatever fails, and at whichever request: what was live stays live, and the message says what happened and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from persona_training.errors import PersonaTrainingError, StorageError
from persona_training.gguf_export.quantisation import Quantisation
from persona_training.ollama.artefacts import Artefacts
from persona_training.ollama.deployment import Plan, Request, deploy, make_plan, undo, write_and_deploy, write_plan
from persona_training.ollama.ledger import entries, exclusively
from persona_training.ollama.modelfile import Form
from persona_training.ollama.server import OllamaError, OllamaServer, OllamaTooOldError
from persona_training.ollama.stand_in import StandInOllama

LAYER_1 = "personality-20260101T000000"
LAYER_2 = "episodic-2026-w05-20260201T000000"
House = Any  # conftest.House; test modules cannot import a conftest
Ready = tuple[Plan, Artefacts]


@pytest.fixture
def server(ollama: StandInOllama) -> OllamaServer:
    return OllamaServer(ollama.url)


def ready(house: House, request: Request) -> Ready:
    plan = make_plan(request, house.settings, house.service, house.display)
    return plan, write_plan(plan, house.display)


def go(house: House, server: OllamaServer, written: Ready) -> None:
    deploy(*written, server, house.service, house.settings, house.display)


@pytest.fixture
def live(house: House, server: OllamaServer) -> Callable[[Form], Ready]:
    """Two versions are live and previous; returns the files of a third that is to come."""

    def begin(form: Form) -> Ready:
        first = ready(house, Request(adapter=LAYER_1))
        go(house, server, first)
        second = Request(week=5, force=True, reason="a rehearsal", quantize=Quantisation.F32)
        house.change_report(LAYER_2, verdict="fail")
        go(house, server, ready(house, second))
        house.change_report(LAYER_2, verdict="pass")
        return ready(house, Request(week=5, form=form))

    return begin


def digests(ollama: StandInOllama) -> dict[str, str]:
    return {tag: str(model["digest"]) for tag, model in ollama.models.items()}


@pytest.mark.parametrize("number", range(6))
def test_ctrl_c_while_names_move_moves_them_back(
    house: House,
    ollama: StandInOllama,
    server: OllamaServer,
    live: Any,
    number: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written, before = live(Form.MERGED), digests(ollama)
    left = iter([False] * number + [True])
    copy = server.copy

    def interrupted(source: str, destination: str) -> None:
        if next(left, False):
            raise KeyboardInterrupt
        copy(source, destination)

    monkeypatch.setattr(server, "copy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        go(house, server, written)
    after = digests(ollama)
    after.pop("casiopy:candidate", None)
    assert after == before


@pytest.mark.parametrize(
    ("form", "kind"), [(Form.MERGED, "cut"), (Form.MERGED, "full_line"), (Form.MERGED, 400), (Form.ADAPTER, 500)]
)
def test_every_single_request_may_fail(
    house: House, ollama: StandInOllama, server: OllamaServer, live: Any, form: Form, kind: int | str
) -> None:
    """Each request of a deployment fails once, in turn: then nothing moved, or, where it did not matter, everything did."""
    written = live(form)
    models, blobs = dict(ollama.models), dict(ollama.blobs)
    before, recorded = digests(ollama), len(entries(house.settings.adapters_dir))
    failed = 0
    for number in range(80):
        ollama.models, ollama.blobs = dict(models), dict(blobs)
        ollama.fail("any", kind, after=number, times=1)
        asked = ollama.count("any")
        try:
            go(house, server, written)
        except OllamaError:
            failed += 1
            assert digests(ollama) == before, f"request {number}: {ollama.requests[asked + number]}"
            assert len(entries(house.settings.adapters_dir)) == recorded
        else:
            assert ollama.models["casiopy:latest"] == ollama.models["casiopy:week05"]
            assert digests(ollama)["casiopy:previous"] == before["casiopy:latest"]
            recorded += 1
            if ollama.count("any") - asked <= number:
                break
    assert number > 15
    assert failed >= 10


@pytest.mark.parametrize("kind", [500, 404, "cut"])
def test_every_single_request_of_a_rollback_may_fail(
    house: House, ollama: StandInOllama, server: OllamaServer, live: Any, kind: int | str
) -> None:
    live(Form.MERGED)
    models, before = dict(ollama.models), digests(ollama)
    swapped = before | {"casiopy:latest": before["casiopy:previous"], "casiopy:previous": before["casiopy:latest"]}
    for number in range(20):
        ollama.models = dict(models)
        ollama.fail("any", kind, after=number, times=1)
        asked = ollama.count("any")
        try:
            undo("casiopy", server, house.service, house.settings, house.display)
        except OllamaError:
            assert digests(ollama) == before, number
        else:
            names = {tag: digest for tag, digest in digests(ollama).items() if not tag.endswith("-before")}
            assert names == swapped
            if ollama.count("any") - asked <= number:
                break
    assert 5 < number < 20


@pytest.mark.parametrize(("step", "kind"), [("blob", "full"), ("create", "full"), ("create", "full_line")])
@pytest.mark.parametrize("form", list(Form))
def test_a_full_disk_is_named_and_is_no_refusal(
    house: House, ollama: StandInOllama, server: OllamaServer, step: str, kind: str, form: Form
) -> None:
    ollama.fail(step, kind)
    with pytest.raises(OllamaError, match=r"disk of the machine Ollama runs on is full.*`ollama rm NAME`") as caught:
        write_and_deploy(*_plan(house, form), server, house.service, house.settings, house.display)
    assert "casiopy:latest is what it was before" in caught.value.message
    assert "Deploying merged instead" not in house.shown.getvalue()


def _plan(house: House, form: Form) -> tuple[Plan]:
    return (make_plan(Request(week=5, form=form), house.settings, house.service, house.display),)


@pytest.mark.parametrize(
    ("version", "structured", "too_old"),
    [
        ("0.5.4", True, True),  # a release before the change, whatever it answers
        ("0.3.12", False, True),
        ("0.0.0", False, True),  # a build of one's own with the old rules
        ("0.0.0", True, False),
        ("0.5.5-rc0", False, True),
        ("0.5.5", True, False),
        ("0.34.1", True, False),
        ("tuesday", True, False),
    ],
)
def test_a_release_that_is_too_old_is_found_by_trying(
    house: House, ollama: StandInOllama, server: OllamaServer, version: str, structured: bool, too_old: bool
) -> None:
    ollama.version, ollama.structured = version, structured
    if not too_old:
        assert server.usable_version("casiopy:candidate") == version
        assert ollama.models == {}
        return
    with pytest.raises(OllamaTooOldError, match=rf"version {version}; 0\.5\.5 or newer is needed") as caught:
        write_and_deploy(*_plan(house, Form.MERGED), server, house.service, house.settings, house.display)
    assert caught.value.exit_code == 4
    assert (
        "ollama create casiopy:week05 -f Modelfile" in caught.value.message
    )  # its own program still takes a Modelfile
    assert ollama.count("blob") == 0


def test_a_base_that_the_server_lacks_is_uploaded_and_said(
    house: House, ollama: StandInOllama, server: OllamaServer
) -> None:
    written = ready(house, Request(week=5, form=Form.ADAPTER))
    go(house, server, written)
    assert "The server lacks the base; it is uploaded once." in house.shown.getvalue()
    (digest,) = ollama.models["casiopy:latest"]["files"].values()
    ollama.failures.clear()
    has, ollama.blobs = dict(ollama.blobs), {}
    with pytest.raises(OllamaError, match=r"lost a file that was uploaded.*Run the same command again"):
        list(server.create({"model": "casiopy:x", "files": {"base.gguf": digest}}))
    go(house, server, written)
    assert ollama.blobs == has


def test_one_change_at_a_time(house: House, ollama: StandInOllama, server: OllamaServer) -> None:
    written = ready(house, Request(week=5))
    with (
        exclusively(house.settings.adapters_dir),
        pytest.raises(StorageError, match="deployment or rollback is under way"),
    ):
        go(house, server, written)
    assert ollama.requests == []
    go(house, server, written)


def test_a_folder_that_cannot_be_written_is_said(house: House) -> None:
    (house.adapter(LAYER_2) / "deploy").write_text("a file where a folder belongs", encoding="utf-8")
    with pytest.raises(StorageError, match="Cannot write what is deployed into"):
        ready(house, Request(week=5))


def test_who_and_why_are_on_record(house: House, server: OllamaServer, live: Any) -> None:
    live(Form.MERGED)
    undo("casiopy", server, house.service, house.settings, house.display, why="she was rude", by="dashboard")
    (*_, deployed, back) = entries(house.settings.adapters_dir)
    assert (deployed["by"], deployed["forced"]) == ("command", "a rehearsal")
    assert (back["event"], back["by"], back["why"]) == ("rollback", "dashboard", "she was rude")
    _, told = house.posted[-1]
    assert told["smoke"] == {"ok": True, "event": "rollback", "by": "dashboard", "why": "she was rude"}


def test_errors_are_for_people() -> None:
    assert issubclass(OllamaTooOldError, PersonaTrainingError)
