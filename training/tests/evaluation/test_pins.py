"""The golden version is pinned by its weights, and every pin is kept with its reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from persona_training.errors import AdapterError
from persona_training.evaluation.pin_command import pin
from persona_training.evaluation.pins import golden_folder, pin_golden, pins
from persona_training.hashing import sha256_file

FIRST, SECOND = "personality-20260101T000000", "personality-20260201T000000"
NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)


@pytest.fixture
def adapters(tmp_path: Path) -> Path:
    for name in (FIRST, SECOND):
        folder = tmp_path / "adapters" / name
        folder.mkdir(parents=True)
        (folder / "w").write_bytes(name.encode())
        manifest = {
            "schema": "casiopy/adapter-v1",
            "adapter_id": name,
            "layer": 1,
            "status": "finished",
            "created_at": name[-15:],
            "week": None,
            "base_model": {"name": "base", "sha256": "c" * 64},
            "recipe": {"name": "x", "config": {}},
            "parent": None,
            "weights": {"file": "w", "sha256": sha256_file(folder / "w")},
        }
        (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return tmp_path / "adapters"


def test_the_last_pin_holds_and_the_first_is_remembered(adapters: Path) -> None:
    assert golden_folder(adapters)[0] is None
    pin_golden(adapters, adapters / FIRST, "sharp tongue", NOW)
    pin_golden(adapters, adapters / SECOND, "sharper", NOW)
    assert golden_folder(adapters) == (adapters / SECOND, "pinned 2026-02-03: sharper")
    assert [(one.adapter_id, one.reason, one.at) for one in pins(adapters)] == [
        (FIRST, "sharp tongue", "2026-02-03T04:05:06Z"),
        (SECOND, "sharper", "2026-02-03T04:05:06Z"),
    ]


def test_other_weights_are_not_the_golden_version(adapters: Path) -> None:
    pin_golden(adapters, adapters / FIRST, "sharp tongue")
    path = adapters / FIRST / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    (adapters / FIRST / "w").write_bytes(b"trained again")
    with pytest.raises(AdapterError, match="changed after training"):
        golden_folder(adapters)
    manifest["weights"]["sha256"] = sha256_file(adapters / FIRST / "w")
    path.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(AdapterError, match=f"golden version {FIRST} are not those pinned"):
        golden_folder(adapters)
    path.unlink()
    with pytest.raises(AdapterError, match="--golden none"):
        golden_folder(adapters)


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": "other"}', '{"schema": "casiopy/golden-v1", "pins": [{}]}'])
def test_a_damaged_pin_says_what_to_do(adapters: Path, content: str) -> None:
    (adapters / "golden.json").write_text(content, encoding="utf-8")
    with pytest.raises(AdapterError, match="casiopy pin ADAPTER"):
        golden_folder(adapters)


def test_only_what_later_gates_can_find_is_pinned(adapters: Path, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="needs a reason"):
        pin_golden(adapters, adapters / FIRST, " ")
    (adapters / FIRST).rename(tmp_path / FIRST)
    with pytest.raises(AdapterError, match="Move it there first"):
        pin_golden(adapters, tmp_path / FIRST, "sharp tongue")
    assert not (adapters / "golden.json").exists()


def test_the_command_pins_and_shows(adapters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORA_ADAPTERS_DIR", str(adapters))
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    run = CliRunner().invoke
    assert "nothing is pinned" in run(pin, []).output
    assert run(pin, [FIRST]).exit_code == 1
    assert run(pin, [FIRST, "--reason", "sharp tongue"]).exit_code == 0
    assert run(pin, [SECOND, "--reason", "sharper"]).exit_code == 0
    shown = run(pin, []).output
    assert shown.index(FIRST) < shown.index(SECOND)
    missing = run(pin, ["casiopy:week05", "--reason", "x"])
    assert (missing.exit_code, "cannot be checked cannot be pinned" in missing.output.replace("\n", " ")) == (1, True)
