"""Layers as an adapter: megabytes a week where Ollama takes them, merged with the reason said where it does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from persona_training.gguf_export.architecture import GgufError
from persona_training.gguf_export.k_quants import PROGRAM, KQuant
from persona_training.gguf_export.quantisation import Quantisation
from persona_training.ollama.canary import expected
from persona_training.ollama.deployment import DeployError, Request, make_plan, write_and_deploy, write_plan
from persona_training.ollama.ledger import Entry
from persona_training.ollama.modelfile import Form
from persona_training.ollama.server import OllamaAwayError, OllamaError, OllamaServer
from persona_training.ollama.stand_in import StandInOllama

LAYER_1 = "personality-20260101T000000"
LAYER_2 = "episodic-2026-w05-20260201T000000"
AS_ADAPTER = Request(week=5, form=Form.ADAPTER)
House = Any  # conftest.House; test modules cannot import a conftest


def go(house: House, ollama: StandInOllama | str, request: Request = AS_ADAPTER) -> Entry:
    server = OllamaServer(ollama if isinstance(ollama, str) else ollama.url)
    plan = make_plan(request, house.settings, house.service, house.display)
    return write_and_deploy(plan, server, house.service, house.settings, house.display)


def shown(house: House) -> str:
    return " ".join(house.shown.getvalue().split())


def created(ollama: StandInOllama) -> list[dict[str, Any]]:
    return [body for step, body in ollama.requests if step == "create"]


def test_where_ollama_takes_it_only_the_layers_travel_each_week(house: House, ollama: StandInOllama) -> None:
    first = go(house, ollama, Request(adapter=LAYER_1, form=Form.ADAPTER))
    second = go(house, ollama)
    assert set(ollama.models) == {"casiopy:personality", "casiopy:week05", "casiopy:latest", "casiopy:previous"}
    live = ollama.models["casiopy:latest"]
    assert list(live["adapters"]) == ["casiopy-week05.lora.gguf"]
    assert all("from" not in body for body in created(ollama))
    assert ollama.count("blob") == 3  # the base once, and each adapter's layers
    (base,) = (house.settings.data_dir / "gguf").iterdir()
    lora = house.adapter(LAYER_2) / "deploy" / "casiopy-week05.lora.gguf"
    assert list(live["files"]) == [base.name]
    assert second.gguf_sha256 != first.gguf_sha256
    assert f"sha256:{second.gguf_sha256}" == live["adapters"][lora.name]
    described = json.loads((lora.parent / "deployment.json").read_text(encoding="utf-8"))
    assert described["form"] == "adapter"
    assert described["adapter"] == {"file": lora.name, "sha256": second.gguf_sha256, "bytes": lora.stat().st_size}
    assert "trying it" in shown(house)


def test_base_and_layers_add_up_to_the_merged_file(house: House, ollama: StandInOllama) -> None:
    """Both layers of the stack are in the one file Ollama gets."""
    stored: dict[Form, dict[str, Any]] = {}
    for form in Form:
        request = Request(week=5, form=form, quantize=Quantisation.F32)
        artefacts = write_plan(make_plan(request, house.settings, house.service, house.display), house.display)
        stored[form] = {tensor.name: tensor.data for tensor in gguf.GGUFReader(artefacts.gguf).tensors}
        if artefacts.adapter is not None:
            reader = gguf.GGUFReader(artefacts.adapter)
            layers = {tensor.name: tensor.data for tensor in reader.tensors}
            alpha = reader.get_field("adapter.lora.alpha")
    assert alpha is not None
    for name in ("blk.0.attn_q.weight", "blk.0.ffn_down.weight"):
        a, b = layers[f"{name}.lora_a"], layers[f"{name}.lora_b"]
        assert len(a) == 8  # rank 4 of each layer
        added = stored[Form.ADAPTER][name] + alpha.contents() / len(a) * (b @ a)
        np.testing.assert_allclose(added, stored[Form.MERGED][name], atol=1e-6)
        assert np.abs(b @ a).max() > 1e-3
    untouched = "blk.0.attn_v.weight"
    np.testing.assert_array_equal(stored[Form.ADAPTER][untouched], stored[Form.MERGED][untouched])


@pytest.mark.parametrize(
    ("rules", "version", "reason"),
    [
        (
            "refuse",
            "0.34.1",
            "refuses the adapter (Could not create casiopy:candidate: adapters are not supported (HTTP 400)",
        ),
        ("ignore", "0.33.0", "accepted the adapter and ignores it"),
    ],
)
def test_where_it_does_not_the_merged_model_goes_live_and_the_reason_is_said(
    rules: Any, version: str, reason: str, house: House, ollama: StandInOllama
) -> None:
    ollama.adapters, ollama.version = rules, version
    entry = go(house, ollama)
    assert set(ollama.models) == {"casiopy:week05", "casiopy:latest"}
    assert not ollama.models["casiopy:latest"]["adapters"]
    assert list(ollama.models["casiopy:latest"]["files"]) == ["casiopy-week05.Q8_0.gguf"]
    said = shown(house)
    assert f"version {version}" in said
    assert reason in said
    assert "Deploying merged instead." in said
    assert entry.digest == ollama.models["casiopy:latest"]["digest"]
    assert all("from" not in body for body in created(ollama))


def test_unasked_no_adapter_is_tried(house: House, ollama: StandInOllama) -> None:
    go(house, ollama, Request(week=5))
    assert [bool(body.get("adapters")) for body in created(ollama)] == [False]
    assert not (house.settings.data_dir / "gguf").exists()


@pytest.mark.parametrize(("step", "kind"), [("create", 500), ("create", "cut"), ("chat", 500), ("blob", 500)])
def test_a_failing_ollama_is_not_a_refusal(house: House, ollama: StandInOllama, step: str, kind: int | str) -> None:
    go(house, ollama, Request(adapter=LAYER_1))
    before = {tag: model["digest"] for tag, model in ollama.models.items()}
    ollama.fail(step, kind)
    with pytest.raises(OllamaError, match="casiopy:latest is what it was before"):
        go(house, ollama)
    assert {tag: model["digest"] for tag, model in ollama.models.items()} == before
    assert "Deploying merged instead" not in shown(house)


def test_a_base_that_cannot_be_removed_again_harms_nobody(house: House, ollama: StandInOllama) -> None:
    ollama.fail("delete", 500, times=1)
    go(house, ollama)
    assert "casiopy:bare" in ollama.models
    assert list(ollama.models["casiopy:latest"]["adapters"]) == ["casiopy-week05.lora.gguf"]


def test_without_ollama_both_files_are_written_and_the_modelfile_names_them(house: House) -> None:
    with pytest.raises(OllamaAwayError, match=r"ollama create casiopy:week05 -f Modelfile"):
        go(house, "127.0.0.1:9")
    folder = house.adapter(LAYER_2) / "deploy"
    assert {path.name for path in folder.iterdir()} == {"Modelfile", "deployment.json", "casiopy-week05.lora.gguf"}
    base, lora = (folder / "Modelfile").read_text(encoding="utf-8").splitlines()[:2]
    assert Path(base.removeprefix("FROM ")).is_file()
    assert lora == "ADAPTER ./casiopy-week05.lora.gguf"


def test_a_base_file_that_was_cut_short_is_noticed(house: House, ollama: StandInOllama) -> None:
    go(house, ollama)
    (base,) = (house.settings.data_dir / "gguf").iterdir()
    base.write_bytes(base.read_bytes()[:2000])
    with pytest.raises(GgufError, match=r"no complete GGUF file.*Delete it"):
        go(house, ollama)


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("0.33.0", "before 0.34.1 take a GGUF adapter"),
        ("0.34.1", "from 0.34.1 on were reported"),
        ("0.40.2-rc1", "from 0.34.1 on were reported"),
        ("0.0.0-stand-in", "'0.0.0-stand-in' is unknown here"),
    ],
)
def test_a_version_says_what_to_expect(version: str, said: str) -> None:
    assert said in expected(version)


def test_the_stand_in_keeps_ollamas_other_rules(ollama: StandInOllama) -> None:
    server = OllamaServer(ollama.url)
    digest = "sha256:" + "0" * 64
    ollama.blobs[digest], known = b"GGUF", {"m.gguf": digest}
    for body, message in (
        ({"files": known, "adapters": {"a": digest, "b": digest}}, "only one adapter"),
        ({"files": known, "quantize": "q4_K_M"}, "create-time quantization"),
        ({"files": known, "adapters": {"a": "sha256:1"}}, "lost a file that was uploaded"),
        ({"files": {}}, "neither 'from' or 'files' was specified"),
        ({"from": "llama3"}, "is not served here"),
    ):
        with pytest.raises(OllamaError, match=message):
            list(server.create({"model": "a:1", **body}))
    with pytest.raises(OllamaError, match="invalid model name"):
        list(server.create({"model": "a:b c", "files": known}))


def test_a_k_quant_without_a_quantiser_stops_before_anything_is_written(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("persona_training.gguf_export.k_quants.importlib.util.find_spec", lambda name: None)
    with pytest.raises(GgufError, match=PROGRAM):
        make_plan(Request(week=5, quantize=KQuant.Q4_K_M), house.settings, house.service, house.display)
    assert not (house.adapter(LAYER_2) / "deploy").exists()


def test_the_name_of_the_comparison_cannot_be_taken(house: House) -> None:
    with pytest.raises(DeployError, match="cannot be used as a tag"):
        make_plan(Request(week=5, tag="casiopy:bare"), house.settings, house.service, house.display)
