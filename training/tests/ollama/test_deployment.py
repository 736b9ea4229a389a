"""Deploying: what goes live, what is refused, and what stays live when any step fails."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import gguf
import httpx
import pytest
import torch
from peft import PeftModel
from persona_training.errors import AdapterError, PersonaTrainingError
from persona_training.evaluation.service import MemoryService
from persona_training.gguf_export.quantisation import Quantisation
from persona_training.ollama.approval import NotApprovedError
from persona_training.ollama.deployment import DeployError, Request, deploy, make_plan, undo, write_plan
from persona_training.ollama.erasure import refuse_erased
from persona_training.ollama.gate_report import DamagedReportError
from persona_training.ollama.ledger import Entry, deployed_as, entries, record
from persona_training.ollama.server import OllamaAwayError, OllamaError, OllamaServer
from persona_training.ollama.stand_in import StandInOllama
from persona_training.ollama.tags import OllamaTags
from transformers import AutoModelForCausalLM

LAYER_1 = "personality-20260101T000000"
LAYER_2 = "episodic-2026-w05-20260201T000000"
WEEK_5 = Request(week=5)
House = Any  # conftest.House; test modules cannot import a conftest


def go(house: House, ollama: StandInOllama | str, request: Request = WEEK_5) -> Entry:
    server = OllamaServer(ollama if isinstance(ollama, str) else ollama.url)
    plan = make_plan(request, house.settings, house.service, house.display)
    return deploy(plan, write_plan(plan, house.display), server, house.service, house.settings, house.display)


def digests(ollama: StandInOllama) -> dict[str, str]:
    return {tag: str(model["digest"]) for tag, model in ollama.models.items()}


def test_a_judged_week_goes_live(house: House, ollama: StandInOllama) -> None:
    entry = go(house, ollama)
    assert set(ollama.models) == {"casiopy:week05", "casiopy:latest"}
    model = ollama.models["casiopy:latest"]
    assert model["system"] == 'Eres Casiopy. Tu lema: "qué ilusión"'
    assert model["parameters"]["temperature"] == 0.8  # as it was judged
    assert model["parameters"]["stop"] == ["<|im_end|>", "<|im_start|>"]
    assert "from" not in ollama.requests[[step for step, _ in ollama.requests].index("create")][1]
    assert (entry.adapter_id, entry.report_id, entry.forced) == (LAYER_2, "report-2", None)
    assert entries(house.settings.adapters_dir) == [dataclasses.asdict(entry)]
    assert [path for path, _ in house.posted] == [f"/adapters/{LAYER_2}/deployments"] * 2
    bodies = [body for _, body in house.posted]
    assert [(body["tag"], body["live"]) for body in bodies] == [("casiopy:week05", False), ("casiopy:latest", True)]
    body = bodies[1]
    assert body["host"] == ollama.url
    assert body["smoke"]["ok"] is True
    assert len(body["smoke"]["replies"]) == 3


def test_the_file_holds_base_and_both_layers(house: House, ollama: StandInOllama, random_base: Path) -> None:
    go(house, ollama, Request(week=5, quantize=Quantisation.F32))
    (blob,) = ollama.blobs.values()
    folder = house.adapter(LAYER_2) / "deploy"
    (file,) = folder.glob("*.gguf")
    assert file.read_bytes() == blob
    stacked: Any = AutoModelForCausalLM.from_pretrained(random_base)
    for layer in (LAYER_1, LAYER_2):
        stacked = PeftModel.from_pretrained(stacked, house.adapter(layer)).merge_and_unload()
    served = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file.name, dtype=torch.float32)
    tokens = torch.arange(3, 60)[None]
    with torch.no_grad():
        base = AutoModelForCausalLM.from_pretrained(random_base)(tokens).logits
        assert (stacked(tokens).logits - served(tokens).logits).abs().max() < 1e-5
        assert (base - served(tokens).logits).abs().max() > 1e-2
    assert gguf.GGUFReader(file).get_field("tokenizer.chat_template") is not None
    described = json.loads((folder / "deployment.json").read_text(encoding="utf-8"))
    assert described["weights_sha256"] == entries(house.settings.adapters_dir)[0]["weights_sha256"]
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_the_next_week_keeps_the_one_before_for_a_rollback(house: House, ollama: StandInOllama) -> None:
    first = go(house, ollama, Request(adapter=LAYER_1))
    second = go(house, ollama)
    assert second.replaced == first.digest
    assert digests(ollama) == {
        "casiopy:personality": first.digest,
        "casiopy:week05": second.digest,
        "casiopy:latest": second.digest,
        "casiopy:previous": first.digest,
    }
    server = OllamaServer(ollama.url)
    back = undo("casiopy", server, house.service, house.settings, house.display)
    assert (back.event, back.adapter_id, back.tag) == ("rollback", LAYER_1, "casiopy:personality")
    assert digests(ollama)["casiopy:latest"] == first.digest
    assert digests(ollama)["casiopy:previous"] == second.digest
    assert set(ollama.models) == {"casiopy:personality", "casiopy:week05", "casiopy:latest", "casiopy:previous"}
    forth = undo("casiopy", server, house.service, house.settings, house.display)
    assert forth.adapter_id == LAYER_2
    assert digests(ollama)["casiopy:latest"] == second.digest
    path, body = house.posted[-1]
    assert (path, body["tag"], body["live"]) == (f"/adapters/{LAYER_2}/deployments", "casiopy:latest", True)


def test_deploying_the_same_again_changes_nothing(house: House, ollama: StandInOllama) -> None:
    first, second = go(house, ollama), go(house, ollama)
    assert first.digest == second.digest
    assert set(ollama.models) == {"casiopy:week05", "casiopy:latest"}
    assert ollama.count("blob") == 1
    assert second.replaced is None


def test_a_deployment_whose_line_was_lost_names_what_it_replaced(house: House, ollama: StandInOllama) -> None:
    """Killed between the last move and the ledger, it is run again and finds this very model live."""
    first, second = go(house, ollama, Request(adapter=LAYER_1)), go(house, ollama)
    again = go(house, ollama)
    assert (again.digest, again.replaced) == (second.digest, first.digest)
    assert digests(ollama)["casiopy:previous"] == first.digest


def test_nothing_to_roll_back_to(house: House, ollama: StandInOllama) -> None:
    go(house, ollama)
    with pytest.raises(OllamaError, match="Nothing to roll back to"):
        undo("casiopy", OllamaServer(ollama.url), house.service, house.settings, house.display)


def test_when_even_moving_back_fails_the_message_says_where_everything_is(house: House, ollama: StandInOllama) -> None:
    go(house, ollama, Request(adapter=LAYER_1))
    ollama.fail("copy", 500, after=3)
    with pytest.raises(OllamaError, match="names that end in -before: restore them with `ollama cp`") as failed:
        go(house, ollama)
    assert "is what it was before" not in failed.value.message
    assert any(tag.endswith("-before") for tag in ollama.models)


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        ("", "no words"),
        ("  ... ", "no words"),
        ("Hola<|im_end|>\n<|im_start|>user", "template token"),
        ("assistant: hola", "template token"),
        ("la luna roja " * 6, "repeats itself"),
    ],
)
def test_a_model_that_cannot_speak_does_not_go_live(
    house: House, ollama: StandInOllama, reply: str, fault: str
) -> None:
    go(house, ollama, Request(adapter=LAYER_1))
    before = digests(ollama)
    ollama.speak = lambda *_: reply
    with pytest.raises(OllamaError, match=fault):
        go(house, ollama)
    assert digests(ollama) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"verdict": "fail", "reasons": ["Sounds like her: fail."]}, r"verdict is fail \(Sounds like her"),
        ({"verdict": "inconclusive"}, "verdict is inconclusive"),
        ({"candidate": {"weights_sha256": "f" * 64}}, "about other weights"),
        ({"schema": "something/else"}, "no gate report"),
        ({"serving": {"sampling": {"heat": 1}}}, "sampling values are not known"),
        ({"serving": {"sampling": {"top_p": 7}}}, "sampling values are not known"),
    ],
)
def test_no_passing_report_no_deployment(
    house: House, ollama: StandInOllama, changes: dict[str, Any], message: str
) -> None:
    house.change_report(LAYER_2, **changes)
    with pytest.raises(NotApprovedError, match=message):
        go(house, ollama)
    assert not (house.adapter(LAYER_2) / "deploy").exists()
    assert ollama.requests == []


ITSELF, ANOTHER, UNKNOWN = "itself", {"weights_sha256": "f" * 64}, {"name": "a:tag", "weights_sha256": None}


@pytest.mark.parametrize(
    ("reference", "golden", "counts"),
    [
        (ITSELF, None, False),
        (ITSELF, ITSELF, False),
        (ITSELF, UNKNOWN, False),
        (ITSELF, ANOTHER, True),
        (ANOTHER, ITSELF, True),
        (UNKNOWN, None, True),
        (None, None, True),  # she rose above the base
    ],
)
def test_a_comparison_with_itself_is_no_examination(
    house: House, reference: object, golden: object, counts: bool
) -> None:
    own = json.loads((house.adapter(LAYER_2) / "summary.json").read_text(encoding="utf-8"))["candidate"]
    voices = {"reference": reference, "golden": golden}
    house.change_report(LAYER_2, **{name: own if voice == ITSELF else voice for name, voice in voices.items()})
    if counts:
        assert make_plan(WEEK_5, house.settings, house.service, house.display).approval.forced is None
    else:
        with pytest.raises(NotApprovedError, match="compares these weights with themselves"):
            make_plan(WEEK_5, house.settings, house.service, house.display)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ('{"schema": "casiopy/report-v1", "verdict": "pass", "candidate": [], "report_id": "r"}', "candidate: "),
        ('{"schema": "casiopy/report-v1", "verdict": "pass", "candidate": {}}', "'report_id' is a required property"),
        ({"metrics": None}, "metrics: None is not of type 'array'"),
        ({"hard_rules": [{"rule": "loop"}]}, "hard_rules.0: 'broken' is a required property"),
        ({"serving": None}, "serving: "),
        ({"reasons": "none"}, "reasons: "),
        ({"verdict": True}, "verdict: "),
        ("{", "not valid JSON"),
        ("[" * 100_000 + "]" * 100_000, "not valid JSON"),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_a_damaged_report_is_named(house: House, content: str | dict[str, object], named: str, force: bool) -> None:
    if isinstance(content, str):
        (house.adapter(LAYER_2) / "summary.json").write_text(content, encoding="utf-8")
    else:
        house.change_report(LAYER_2, **content)
    with pytest.raises(DamagedReportError, match=re.escape(named)) as raised:
        make_plan(Request(week=5, force=force, reason="now"), house.settings, house.service, house.display)
    assert f"{LAYER_2}/summary.json is damaged" in raised.value.message


def test_a_report_of_before_it_was_called_summary_counts(house: House, ollama: StandInOllama) -> None:
    report = house.adapter(LAYER_2) / "summary.json"
    report.rename(report.with_name("report.json"))
    assert go(house, ollama).report_id == "report-2"


def test_whether_something_was_erased_is_asked_and_the_answer_is_said(house: House) -> None:
    make_plan(WEEK_5, house.settings, house.service, house.display)
    assert "erased?" not in house.shown.getvalue()
    away = MemoryService(dataclasses.replace(house.settings, memory_service_url="http://127.0.0.1:9"))
    refuse_erased(away, [LAYER_1, LAYER_2], house.display)
    assert house.shown.getvalue().count("erased?  not known: the memory service at http://127.0.0.1:9") == 1
    nobody = MemoryService(house.settings, httpx.MockTransport(lambda _: httpx.Response(404, json={"detail": "None"})))
    refuse_erased(nobody, [LAYER_1], house.display)
    assert f"not known of {LAYER_1}: the memory service at http://memory.test does not know it (404)" in shown(house)


def shown(house: House) -> str:
    return " ".join(house.shown.getvalue().split())


def test_a_missing_report_is_no_pass(house: House, ollama: StandInOllama) -> None:
    (house.adapter(LAYER_2) / "summary.json").unlink()
    with pytest.raises(NotApprovedError, match=r"no gate report.*test_personality.py --model episodic-2026"):
        go(house, ollama)


def test_force_needs_a_reason_and_keeps_it(house: House, ollama: StandInOllama) -> None:
    house.change_report(LAYER_2, verdict="fail")
    with pytest.raises(NotApprovedError, match="--reason"):
        go(house, ollama, Request(week=5, force=True, reason="  "))
    entry = go(house, ollama, Request(week=5, force=True, reason="stream in ten minutes"))
    assert entry.forced == "stream in ten minutes"
    assert "FORCED although the gate's verdict is fail" in house.shown.getvalue()


def test_changed_weights_are_refused(house: House, ollama: StandInOllama) -> None:
    weights = house.adapter(LAYER_1) / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(AdapterError, match="changed after training"):
        go(house, ollama)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request(), "Name what to deploy"),
        (Request(week=5, adapter=LAYER_1), "Name what to deploy"),
        (Request(week=9), "No finished layer-2 adapter of week 9"),
        (Request(week=5, year=2025), "week 5 of 2025"),
        (Request(adapter="nobody"), "No adapter 'nobody'"),
        (Request(week=5, tag="casiopy:latest"), "cannot be used as a tag"),
        (Request(week=5, tag="casiopy"), "cannot be used as a tag"),
    ],
)
def test_requests_that_name_nothing(house: House, request_: Request, message: str) -> None:
    with pytest.raises((DeployError, AdapterError), match=message):
        make_plan(request_, house.settings, house.service, house.display)


def test_without_ollama_everything_is_written(house: House) -> None:
    with pytest.raises(OllamaAwayError):
        go(house, "127.0.0.1:9")
    folder = house.adapter(LAYER_2) / "deploy"
    assert {path.name for path in folder.iterdir()} == {"Modelfile", "deployment.json", "casiopy-week05.Q8_0.gguf"}
    assert entries(house.settings.adapters_dir) == []


def test_the_gate_sees_through_tags(house: House, ollama: StandInOllama) -> None:
    go(house, ollama, Request(adapter=LAYER_1))
    go(house, ollama)
    tags = OllamaTags(house.settings.adapters_dir, ollama.url)
    assert tags.adapter_of("casiopy:week05") == LAYER_2
    assert tags.adapter_of("casiopy:latest") == LAYER_2
    assert tags.adapter_of("casiopy:previous") == LAYER_1
    assert tags.adapter_of("unknown:1") is None
    assert tags.live_tag("casiopy:week05") == "casiopy:previous"
    assert tags.live_tag("casiopy:personality") == "casiopy:latest"
    assert not OllamaTags(house.settings.adapters_dir, "127.0.0.1:9").serves("casiopy:week05")


def test_a_damaged_ledger_says_so(house: House) -> None:
    (house.settings.adapters_dir / "deployments.jsonl").write_text("{broken\n", encoding="utf-8")
    with pytest.raises(PersonaTrainingError, match="is damaged"):
        deployed_as(house.settings.adapters_dir, "d")


def test_a_reason_may_hold_what_unicode_calls_the_end_of_a_line(tmp_path: Path) -> None:
    reason = "stream\u2028in\u2029ten\x85minutes"
    now = Entry("deploy", "a:b", "a:latest", "d", "x", None, None, None, reason, None, "here", "2026-11-21T16:00:00Z")
    record(tmp_path, now)
    assert [entry["forced"] for entry in entries(tmp_path)] == [reason]
