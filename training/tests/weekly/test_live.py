"""What is live decides what a week stands on; where nothing is, or it is gone, the reason is told."""

import json
from pathlib import Path

import pytest
from persona_training.ollama.ledger import live_entry
from persona_training.settings import Settings
from persona_training.weekly.live import live_layer_1, skills_beside

LINE = {"event": "deploy", "live": "casiopy:latest", "adapter_id": "episodic-x", "skills": []}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "data", tmp_path / "exports", tmp_path)


def ledger(settings: Settings, *lines: dict[str, object]) -> None:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (settings.adapters_dir / "deployments.jsonl").write_text(text, encoding="utf-8")


def test_nothing_is_live_yet(settings: Settings) -> None:
    assert live_entry("casiopy", settings.adapters_dir) is None
    parent, why = live_layer_1(None, "casiopy", settings)
    assert (parent, "newest finished layer 1" in why) == (None, True)
    assert skills_beside((), "casiopy", settings) == ([], "none: none is live")


def test_what_was_asked_for_comes_first(settings: Settings) -> None:
    ledger(settings, LINE)
    assert live_layer_1("personality-y", "casiopy", settings) == ("personality-y", "as asked")
    assert skills_beside(("tarot=0.8",), "casiopy", settings)[0] == ["tarot=0.8"]


def test_another_character_s_deployment_does_not_count(settings: Settings) -> None:
    ledger(settings, LINE, {**LINE, "live": "luma:latest", "adapter_id": "luma-x", "skills": ["s"]})
    entry = live_entry("casiopy", settings.adapters_dir)
    assert entry is not None
    assert entry["adapter_id"] == "episodic-x"
    assert skills_beside((), "casiopy", settings)[0] == []
    assert skills_beside((), "luma", settings)[0] == ["s"]


@pytest.mark.parametrize(
    ("adapter_id", "told"), [("episodic-x", "is not in"), (None, "no adapter is known to be live")]
)
def test_a_live_adapter_that_is_not_here(adapter_id: str | None, told: str, settings: Settings) -> None:
    ledger(settings, {**LINE, "adapter_id": adapter_id})
    parent, why = live_layer_1(None, "casiopy", settings)
    assert parent is None
    assert told in why
