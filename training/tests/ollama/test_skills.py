"""Skills: served with a week as one model, judged together, named after both."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from persona_training.errors import AdapterError
from persona_training.gguf_export.quantisation import Quantisation
from persona_training.joining import Weighted, join_adapters
from persona_training.ollama.approval import NotApprovedError
from persona_training.ollama.deployment import DeployError, Request, make_plan, undo, write_and_deploy
from persona_training.ollama.layers import Layers, default_tag, layers_of_adapter, layers_of_week
from persona_training.ollama.ledger import Entry
from persona_training.ollama.modelfile import Form
from persona_training.ollama.server import OllamaServer
from persona_training.ollama.stand_in import StandInOllama
from transformers import AutoModelForCausalLM

LAYER_1 = "personality-20260101T000000"
LAYER_2 = "episodic-2026-w05-20260201T000000"
LAYER_3 = "skill-sarcasm-20260301T000000"
TOGETHER = Request(week=5, skills=("sarcasm=0.75",))
House = Any  # conftest.House; test modules cannot import a conftest


def go(house: House, ollama: StandInOllama, request: Request = TOGETHER) -> Entry:
    server = OllamaServer(ollama.url)
    plan = make_plan(request, house.settings, house.service, house.display)
    return write_and_deploy(plan, server, house.service, house.settings, house.display)


def join(house: House, verdict: str | None = "pass") -> Path:
    """What `casiopy join` and the gate leave for the week with the skill at three quarters."""
    folder: Path = house.settings.adapters_dir / "joined" / f"{LAYER_2}+{LAYER_3}=0.75"
    join_adapters(house.adapter(LAYER_2), folder, [Weighted(house.adapter(LAYER_3), 0.75)])
    if verdict is not None:
        report = json.loads((house.adapter(LAYER_2) / "summary.json").read_text(encoding="utf-8"))
        weights = json.loads((folder / "joined.json").read_text(encoding="utf-8"))["weights"]["sha256"]
        report |= {"report_id": "together", "verdict": verdict, "candidate": {"weights_sha256": weights}}
        (folder / "summary.json").write_text(json.dumps(report), encoding="utf-8")
    return folder


def test_a_week_and_a_skill_go_live_as_one(house: House, ollama: StandInOllama, random_base: Path) -> None:
    folder = join(house)
    entry = go(house, ollama, Request(week=5, skills=("sarcasm=0.75",), quantize=Quantisation.F32))
    assert set(ollama.models) == {"casiopy:week05-sarcasm", "casiopy:latest"}
    assert (entry.adapter_id, entry.skills, entry.report_id) == (LAYER_2, [LAYER_3], "together")
    served: Any = AutoModelForCausalLM.from_pretrained(
        folder / "deploy", gguf_file="casiopy-week05-sarcasm.F32.gguf", dtype=torch.float32
    )
    joined = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(random_base), str(folder))
    tokens = torch.arange(3, 60)[None]
    with torch.no_grad():
        assert (joined(tokens).logits - served(tokens).logits).abs().max() < 1e-5
    described = json.loads((folder / "deploy" / "deployment.json").read_text(encoding="utf-8"))
    assert [(pin["adapter_id"], pin["weight"]) for pin in described["layers"]] == [
        (LAYER_1, 1.0),
        (LAYER_2, 1.0),
        (LAYER_3, 0.75),
    ]
    assert [(path.split("/")[2], body["tag"], body["live"]) for path, body in house.posted] == [
        (LAYER_2, "casiopy:week05-sarcasm", False),
        (LAYER_3, "casiopy:week05-sarcasm", False),
        (LAYER_2, "casiopy:latest", True),
    ]


def test_the_join_itself_can_be_named(house: House, ollama: StandInOllama) -> None:
    folder = join(house)
    for named in (f"joined/{folder.name}", str(folder)):
        layers = layers_of_adapter(house.settings.adapters_dir, named)
        assert (layers.top.name, [skill.weight for skill in layers.skills], layers.join) == (LAYER_2, [0.75], folder)
    assert go(house, ollama, Request(adapter=f"joined/{folder.name}", form=Form.ADAPTER)).skills == [LAYER_3]
    assert ollama.models["casiopy:latest"]["adapters"]


def test_without_a_report_about_them_together_they_stay_out(house: House, ollama: StandInOllama) -> None:
    """A passing week and a fine skill are no passing pair."""
    with pytest.raises(NotApprovedError, match=rf"never joined.*`casiopy join {LAYER_2} --skill {LAYER_3}=0.75`, then"):
        go(house, ollama)
    folder = join(house, verdict=None)
    with pytest.raises(NotApprovedError, match=rf"no gate report. Run `python \S+ --model joined/{LAYER_2}\+"):
        go(house, ollama)
    join_report = folder / "summary.json"
    shutil.copy(house.adapter(LAYER_2) / "summary.json", join_report)
    with pytest.raises(NotApprovedError, match="about other weights"):
        go(house, ollama)
    with pytest.raises(NotApprovedError, match="never joined"):
        go(house, ollama, Request(week=5, skills=("sarcasm=0.5",)))
    assert ollama.requests == []


def test_a_forced_pair_keeps_the_reason(house: House, ollama: StandInOllama) -> None:
    entry = go(house, ollama, Request(week=5, skills=(LAYER_3,), force=True, reason="a rehearsal"))
    assert (entry.forced, entry.tag) == ("a rehearsal", "casiopy:week05-sarcasm")
    assert {body["smoke"]["forced"] for _, body in house.posted} == {"a rehearsal"}


def test_names() -> None:
    def layers(layer: int, week: int | None, skill: str | None, *beside: str) -> Layers:
        top = {"adapter_id": "preference-20260301T000000", "layer": layer, "persona": "casiopy", "skill": skill}
        top["week"] = {"year": 2026, "number": week} if week else None
        named = [{"adapter_id": f"{name}-20260301T000000", "skill": None} for name in beside]
        found = Layers(Path("top"), top, tuple(Weighted(Path(name)) for name in beside), Path("adapters"))
        found.__dict__["manifests"] = [top, *named]
        return found

    assert default_tag(layers(1, None, None)) == "casiopy:personality"
    assert default_tag(layers(2, 5, None)) == "casiopy:week05"
    assert default_tag(layers(2, 5, None, "skill-Sarcasmo ácido")) == "casiopy:week05-skill-sarcasmo-cido"
    assert default_tag(layers(3, None, "sarcasm")) == "casiopy:skill-sarcasm"
    assert default_tag(layers(3, None, None)) == "casiopy:preference"
    assert default_tag(layers(1, None, None, "a", "b")) == "casiopy:skill-a-b"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request(week=5, skills=("juggling",)), "No adapter 'juggling'"),
        (Request(week=5, skills=("sarcasm=loud",)), "must be a number, e.g. sarcasm=0.8"),
        (Request(week=5, skills=("sarcasm=2",)), "give 0.5 to 1"),
        (Request(week=5, skills=("sarcasm", LAYER_3)), "given twice"),
        (Request(week=5, skills=(LAYER_1,)), "only skills and preferences"),
        (Request(adapter=LAYER_3), "no gate report"),
    ],
)
def test_skills_that_cannot_be_served(house: House, request_: Request, message: str) -> None:
    with pytest.raises((AdapterError, NotApprovedError), match=message):
        make_plan(request_, house.settings, house.service, house.display)


def test_a_tag_ollama_does_not_take_is_refused_before_anything_else(house: House) -> None:
    (house.adapter(LAYER_2) / "summary.json").unlink()
    house.erased[LAYER_2] = "2026-02-03T10:00:00Z"
    for tag in ("casiopy:" + "x" * 81, "casiopy:wéek", "casi opy:1", "casiopy:"):
        with pytest.raises(DeployError, match="cannot be used as a tag"):
            make_plan(Request(week=5, tag=tag), house.settings, house.service, house.display)


@pytest.mark.parametrize("damage", ["weights", "json", "layers", "other"])
def test_a_damaged_join_is_refused_by_name(house: House, damage: str) -> None:
    folder = join(house)
    pins = folder / "joined.json"
    if damage == "weights":
        (folder / "adapter_model.safetensors").write_bytes(b"x")
    elif damage == "json":
        pins.write_text("{", encoding="utf-8")
    else:
        content = json.loads(pins.read_text(encoding="utf-8"))
        content["layers"] = [{"adapter_id": LAYER_1}] if damage == "layers" else content["layers"][:1]
        pins.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(AdapterError, match="Delete that folder and join again"):
        layers_of_week(house.settings.adapters_dir, 5, None, ["sarcasm=0.75"]).judged()


def test_what_was_erased_is_served_neither_again_nor_by_rolling_back(house: House, ollama: StandInOllama) -> None:
    go(house, ollama, Request(adapter=LAYER_1))
    go(house, ollama, Request(week=5))
    before = {tag: model["digest"] for tag, model in ollama.models.items()}
    house.erased[LAYER_1] = "2026-02-03T10:00:00Z"
    with pytest.raises(Exception, match=rf"{LAYER_1} learned from exchanges.*erased on 2026-02-03"):
        undo("casiopy", OllamaServer(ollama.url), house.service, house.settings, house.display)
    with pytest.raises(Exception, match="--force does not change that"):
        go(house, ollama, Request(week=5, force=True, reason="please"))
    assert {tag: model["digest"] for tag, model in ollama.models.items()} == before


def test_another_chat_template_is_refused_by_name(house: House, ollama: StandInOllama) -> None:
    path = house.adapter(LAYER_1) / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(manifest | {"chat_template_sha256": "f" * 64}), encoding="utf-8")
    with pytest.raises(Exception, match=rf"{LAYER_1} was trained with another chat template \(ffffffffffff…\)"):
        go(house, ollama, Request(week=5))
    assert ollama.requests == []
