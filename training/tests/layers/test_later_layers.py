"""Weeks, skills, preferences and rebuilds on one layer 1: what they record, resume, refuse and leave untouched."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from persona_training import preparation
from persona_training.adapters import read_adapter
from persona_training.display import Display
from persona_training.errors import AdapterError, DatasetError, RecipeError
from persona_training.hashing import sha256_file
from persona_training.parents import louder_than_parent
from persona_training.preparation import Request, prepare
from persona_training.registry import withdrawn_exports
from persona_training.run_folder import RunFolder
from persona_training.testing import World
from persona_training.training_run import RunResult, resume, train
from rich.console import Console

pytestmark = pytest.mark.training

WEIGHTS = "adapter_model.safetensors"


@pytest.mark.parametrize(
    ("kind", "adapter_id", "layer", "replayed"),
    [
        ("week", r"episodic-2026-w04-\d{8}T\d{6}", 2, ["personality", "general"]),
        ("rebuild", r"episodic-2026-w04-rebuild-\d{8}T\d{6}", 2, ["personality", "week", "general"]),
        ("skill", r"skill-tarot-\d{8}T\d{6}", 3, ["personality", "general"]),
        ("dpo", r"preference-\d{8}T\d{6}", 3, []),
        ("kto", r"preference-\d{8}T\d{6}", 3, []),
    ],
)
def test_every_later_layer_records_what_it_is_made_of(
    kind: str,
    adapter_id: str,
    layer: int,
    replayed: list[str],
    ground: RunResult,
    trained: Callable[[str], RunResult],
    schemas: dict[str, Any],
) -> None:
    manifest = read_adapter(trained(kind).folder)
    jsonschema.validate(manifest, schemas["adapter-v1"])
    assert re.fullmatch(adapter_id, manifest["adapter_id"])
    assert manifest["layer"] == layer
    assert manifest["skill"] == ("tarot" if kind == "skill" else None)
    assert (manifest["week"] is None) == (layer == 3)
    assert manifest["parent"] == {
        "adapter_id": ground.manifest["adapter_id"],
        "weights_sha256": sha256_file(ground.folder / WEIGHTS),
    }
    assert [replay["kind"] for replay in manifest["replay"]] == replayed
    for replay in manifest["replay"]:
        (source,) = replay["source"]
        if replay["kind"] == "general":
            assert replay["sha256"] == sha256_file(Path(source))
            assert replay["origin"] == "base"
    if kind in ("dpo", "kto"):
        assert manifest["recipe"]["config"]["objective"] == kind
    config = json.loads((trained(kind).folder / "adapter_config.json").read_text("utf-8"))
    assert config["r"] == 4


def test_a_rebuild_names_every_week_and_the_rows_it_took(trained: Callable[[str], RunResult]) -> None:
    manifest = trained("rebuild").manifest
    rebuild = manifest["rebuild"]
    assert rebuild["half_life_weeks"] == 0.4
    assert [(week["number"], week["share"], week["rows"], week["of"]) for week in rebuild["weeks"]] == [
        (2, 0.03125, 0, 12),
        (3, 0.176777, 2, 12),
        (4, 1.0, 12, 12),
    ]
    assert manifest["dataset"]["export_id"] == rebuild["weeks"][-1]["export_id"]
    assert manifest["dataset"]["rows"] == 12
    older = [replay for replay in manifest["replay"] if replay["kind"] == "week"]
    assert [replay["export_id"] for replay in older] == [rebuild["weeks"][1]["export_id"]]
    shares = sum(replay["share"] for replay in manifest["replay"])
    assert shares + 0.65 * 12 / 14 == pytest.approx(1.0, abs=1e-5)


def stop_after(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], None]) -> None:
    """Do something once that step is recorded."""
    record = RunFolder.add

    def record_then_act(run: RunFolder, done: Any) -> dict[str, Any]:
        line = record(run, done)
        if done.step == step and done.loss is not None:
            act()
        return line

    monkeypatch.setattr(RunFolder, "add", record_then_act)


def ask_to_stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("kind", ["week", "rebuild", "skill", "dpo"])
def test_a_stopped_and_resumed_run_of_every_kind_ends_in_the_same_bits(
    kind: str,
    house: World,
    requests: dict[str, Request],
    trained: Callable[[str], RunResult],
    display: Display,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = sha256_file(trained(kind).folder / WEIGHTS)
    with monkeypatch.context() as patched:
        stop_after(patched, 2, ask_to_stop)
        stopped = train(requests[kind], house.settings, display)
    assert stopped.interrupted
    finished = resume(stopped.manifest["adapter_id"], house.settings, display)
    assert sha256_file(finished.folder / WEIGHTS) == whole
    assert finished.manifest["replay"] == trained(kind).manifest["replay"]


def flip_last_byte(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(-1, os.SEEK_END)
        last = opened.read(1)
        opened.seek(-1, os.SEEK_END)
        opened.write(bytes([last[0] ^ 1]))


def out_of_disk() -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("end", [None, ask_to_stop, out_of_disk], ids=["finished", "interrupted", "failed"])
def test_a_layer_1_that_changes_meanwhile_is_an_error_however_the_run_ends(
    end: Callable[[], None] | None,
    house: World,
    requests: dict[str, Request],
    ground: RunResult,
    display: Display,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = ground.folder / WEIGHTS

    def meddle() -> None:
        flip_last_byte(weights)
        if end is not None:
            end()

    try:
        with monkeypatch.context() as patched:
            stop_after(patched, 2, meddle)
            with pytest.raises(AdapterError, match=re.escape(str(weights))):
                train(requests["skill"], house.settings, display)
        newest = max(house.settings.adapters_dir.glob("skill-*"))
        assert read_adapter(newest)["status"] == "failed"
        assert "changed after training" in json.loads((newest / "run.json").read_text("utf-8"))["message"]
        with pytest.raises(AdapterError, match=re.escape(str(weights))):
            resume(newest.name, house.settings, display)
    finally:
        flip_last_byte(weights)
    assert sha256_file(weights) == ground.manifest["weights"]["sha256"]


@pytest.mark.parametrize("kind", ["week", "skill", "dpo"])
@pytest.mark.parametrize("under", ["week", "skill"])
def test_later_layers_stand_on_layer_1_alone(
    kind: str,
    under: str,
    house: World,
    requests: dict[str, Request],
    trained: Callable[[str], RunResult],
    display: Display,
) -> None:
    request = dataclasses.replace(requests[kind], parent=trained(under).manifest["adapter_id"])
    with pytest.raises(AdapterError, match="never on each other"):
        prepare(request, house.settings, display)


def test_each_kind_refuses_the_others_dataset(
    house: World, requests: dict[str, Request], ground: RunResult, display: Display
) -> None:
    week, skill, preference = (requests[kind].recipe for kind in ("week", "skill", "dpo"))
    for request, error, message in (
        (Request(skill, ["dpo"]), RecipeError, "casiopy train-preference"),
        (Request(skill, ["personality"]), DatasetError, "holds personality rows; this command trains on skill ones"),
        (Request(preference, ["skill"]), DatasetError, "holds skill rows; this command trains on preference ones"),
        (Request(skill, ["skill"], skill="runes"), DatasetError, "holds the skill 'tarot', not 'runes'"),
        (Request(skill, ["skill"], skill="El Tarot"), DatasetError, "small letters"),
        (Request(week, ["skill"]), DatasetError, "holds skill rows"),
    ):
        with pytest.raises(error, match=message):
            prepare(request, house.settings, display)


def test_a_layer_as_loud_as_layer_1_is_warned_about(
    house: World, requests: dict[str, Request], ground: RunResult
) -> None:
    quiet = requests["skill"].recipe
    assert louder_than_parent(quiet, ground.manifest) == []
    loud = dataclasses.replace(
        quiet,
        lora=dataclasses.replace(quiet.lora, r=16),
        steps=dataclasses.replace(quiet.steps, learning_rate=0.007),
    )
    assert [warning.split(" ")[0] for warning in louder_than_parent(loud, ground.manifest)] == [
        "lora.r",
        "steps.learning_rate",
    ]
    console = Console(file=StringIO(), width=160)
    prepare(Request(loud, ["skill"]), house.settings, Display(console))
    assert "WARNING  lora.r is 16, not below the 16" in console.file.getvalue()  # type: ignore[attr-defined]


def test_nothing_is_learned_from_what_was_erased_since(
    house: World, requests: dict[str, Request], ground: RunResult, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    weeks = list(requests["rebuild"].dataset)
    for kind, export_id in (("week", weeks[-1]), ("rebuild", weeks[1]), ("skill", "personality"), ("dpo", "dpo")):
        monkeypatch.setattr(preparation, "withdrawn_exports", lambda _, gone=export_id: {gone: "2026-02-01T00:00:00Z"})
        with pytest.raises(DatasetError, match=f"{export_id} holds what somebody had erased since"):
            prepare(requests[kind], house.settings, display)
    unnamed = dataclasses.replace(requests["rebuild"], dataset=[])
    monkeypatch.setattr(preparation, "withdrawn_exports", lambda _: {weeks[0]: "2026-02-01T00:00:00Z"})
    rebuild = prepare(unnamed, house.settings, display).data.rebuild
    assert rebuild is not None
    assert [sample.dataset.export_id for sample in rebuild.weeks] == weeks[1:]


def test_the_service_is_asked_page_by_page_and_may_be_away(house: World) -> None:
    def serve(asked: httpx.Request) -> httpx.Response:
        assert asked.url.path == "/exports"
        if asked.url.params.get("cursor") == "more":
            return httpx.Response(200, json={"items": [{"export_id": "c", "tainted_at": "then"}], "next_cursor": None})
        items = [{"export_id": "a", "tainted_at": None}, {"export_id": "b", "tainted_at": "now"}]
        return httpx.Response(200, json={"items": items, "next_cursor": "more"})

    assert withdrawn_exports(house.settings, httpx.MockTransport(serve)) == {"b": "now", "c": "then"}
    assert withdrawn_exports(house.settings, httpx.MockTransport(lambda _: httpx.Response(401))) is None
    assert withdrawn_exports(house.settings) is None
