"""From a name to who is judged, and why."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from persona_training.adapters import adapters_in, read_adapter
from persona_training.bases import BaseModel
from persona_training.errors import AdapterError
from persona_training.evaluation.subjects import (
    Backend,
    default_baseline,
    find_adapter,
    find_subject,
    newest_adapter_of_week,
    week_of_tag,
)
from persona_training.parents import find_parents
from persona_training.settings import Settings
from persona_training.testing import small_recipe
from persona_training.weekly.live import live_layer_1


def add(folder: Path, adapter_id: str, layer: int, week: tuple[int, int] | None = None, **changes: object) -> None:
    manifest = {
        "schema": "casiopy/adapter-v1",
        "adapter_id": adapter_id,
        "layer": layer,
        "status": "finished",
        "created_at": adapter_id[-15:],
        "week": {"year": week[0], "number": week[1]} if week else None,
        "base_model": {"name": "base", "sha256": "c" * 64},
        "recipe": {"name": "x", "config": {}},
        "parent": {"adapter_id": "personality-20260101T000000", "weights_sha256": "a" * 64} if layer > 1 else None,
        "weights": {"file": "w", "sha256": "b" * 64},
    }
    (folder / adapter_id).mkdir()
    (folder / adapter_id / "manifest.json").write_text(json.dumps(manifest | changes), encoding="utf-8")


@pytest.fixture
def adapters(tmp_path: Path) -> Path:
    add(tmp_path, "personality-20260101T000000", 1)
    add(tmp_path, "episodic-2025-w05-20250201T000000", 2, (2025, 5))
    add(tmp_path, "episodic-2026-w05-20260201T000000", 2, (2026, 5))
    add(tmp_path, "episodic-2026-w05-20260202T000000", 2, (2026, 5))
    add(tmp_path, "episodic-2026-w05-20260203T000000", 2, (2026, 5), status="interrupted")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "wanted", "served", "backend", "adapter"),
    [
        ("personality-20260101T000000", None, False, "transformers", "personality-20260101T000000"),
        ("personality-20260101T000000", None, True, "transformers", "personality-20260101T000000"),
        ("casiopy:week05", None, True, "ollama", "episodic-2026-w05-20260201T000000"),
        ("casiopy:week05", None, False, "transformers", "episodic-2026-w05-20260202T000000"),
        ("casiopy:week05", "transformers", True, "transformers", "episodic-2026-w05-20260202T000000"),
        ("casiopy:latest", "ollama", True, "ollama", "episodic-2026-w05-20260201T000000"),
    ],
)
def test_the_choice(
    adapters: Path, name: str, wanted: Backend | None, served: bool, backend: str, adapter: str
) -> None:
    subject = find_subject(
        name,
        adapters,
        wanted=wanted,
        tag_is_served=lambda _: served,
        adapter_of_tag=lambda _: "episodic-2026-w05-20260201T000000",
    )
    assert (subject.backend, subject.adapter_id, subject.weights_sha256) == (backend, adapter, "b" * 64)
    assert subject.reason


def test_a_tag_of_unknown_origin(adapters: Path) -> None:
    subject = find_subject(
        "other:1b", adapters, wanted=None, tag_is_served=lambda _: True, adapter_of_tag=lambda _: None
    )
    assert (subject.adapter_id, subject.weights_sha256, subject.layer) == (None, None, None)
    assert "unknown origin" in subject.reason


@pytest.mark.parametrize(
    ("name", "wanted", "message"),
    [
        ("nobody", None, "Nothing is called 'nobody'"),
        ("casiopy:week09", None, "Nothing is called"),
        ("casiopy:week05", "ollama", "does not serve"),
        ("personality-20260101T000000", "ollama", "does not serve"),
    ],
)
def test_nobody(adapters: Path, name: str, wanted: Backend | None, message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        find_subject(name, adapters, wanted=wanted, tag_is_served=lambda _: False, adapter_of_tag=lambda _: None)


@pytest.mark.parametrize(
    ("week", "year", "found"),
    [
        (5, None, "episodic-2026-w05-20260202T000000"),
        (5, 2025, "episodic-2025-w05-20250201T000000"),
        (5, 2024, None),
        (6, None, None),
    ],
)
def test_the_newest_finished_adapter_of_a_week(adapters: Path, week: int, year: int | None, found: str | None) -> None:
    folder = newest_adapter_of_week(adapters, week, year)
    assert (folder.name if folder else None) == found


@pytest.mark.parametrize(
    ("tag", "week"), [("casiopy:week05", 5), ("a/b:week5", 5), ("casiopy:latest", None), ("week05", None)]
)
def test_week_of_tag(tag: str, week: int | None) -> None:
    assert week_of_tag(tag) == week


def test_an_adapter_by_path(adapters: Path, tmp_path: Path) -> None:
    folder = adapters / "personality-20260101T000000"
    assert find_adapter(str(folder), tmp_path / "elsewhere") == folder
    assert find_adapter("gone", adapters) is None


def test_layer_2_is_compared_with_its_parent_and_layer_1_with_nobody(adapters: Path) -> None:
    def subject(name: str) -> tuple[Path | None, str]:
        found = find_subject(name, adapters, wanted=None, tag_is_served=lambda _: False, adapter_of_tag=lambda _: None)
        return default_baseline(found, adapters)

    assert subject("casiopy:week05")[0] == adapters / "personality-20260101T000000"
    assert subject("personality-20260101T000000")[0] is None
    (adapters / "personality-20260101T000000" / "manifest.json").unlink()
    with pytest.raises(AdapterError, match="give --baseline"):
        subject("casiopy:week05")


LIVE = "episodic-2026-w05-20260201T000000"


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """Two characters' layers with weights, and what was deployed."""
    sha = {}
    for name, layer, persona in (
        ("personality-20260101T000000", 1, "casiopy"),
        ("personality-20260301T000000", 1, "casiopy"),
        (LIVE, 2, "casiopy"),
        ("episodic-2026-w06-20260208T000000", 2, "casiopy"),
        ("personality-20260401T000000", 1, "other"),
    ):
        sha[name] = hashlib.sha256(name.encode()).hexdigest()
        parent = {"adapter_id": "personality-20260101T000000", "weights_sha256": sha["personality-20260101T000000"]}
        changes = {
            "persona": persona,
            "parent": parent if layer > 1 else None,
            "weights": {"file": "w", "sha256": sha[name]},
        }
        add(tmp_path, name, layer, (2026, 5) if layer > 1 else None, **changes)
        (tmp_path / name / "w").write_bytes(name.encode())
    return tmp_path


def deployed(adapters: Path, adapter_id: str | None, **more: object) -> None:
    line = {"adapter_id": adapter_id, "tag": "casiopy:week05", "live": "casiopy:latest", **more}
    with (adapters / "deployments.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def baseline(adapters: Path, name: str) -> tuple[str | None, str]:
    found = find_subject(name, adapters, wanted=None, tag_is_served=lambda _: False, adapter_of_tag=lambda _: None)
    folder, why = default_baseline(found, adapters)
    return folder.name if folder else None, why


def join(adapters: Path, names: list[str], base: str = "c" * 64) -> Path:
    folder = adapters / "joined" / "+".join(names)
    folder.mkdir(parents=True)
    (folder / "w").write_bytes(str(names).encode())
    content = {
        "schema": "casiopy/joined-v1",
        "base_model": {"name": "base", "sha256": base},
        "layers": [
            {"adapter_id": name, "layer": 3 if "skill" in name else 2, "weights_sha256": "e" * 64, "weight": 1.0}
            for name in names
        ],
        "weights": {"file": "w", "sha256": hashlib.sha256(str(names).encode()).hexdigest()},
    }
    (folder / "joined.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_a_week_is_compared_with_what_is_live(real: Path) -> None:
    week_6 = "episodic-2026-w06-20260208T000000"
    assert baseline(real, week_6)[0] == "personality-20260101T000000"
    deployed(real, LIVE)
    deployed(real, "personality-20260401T000000", live="other:latest")
    deployed(real, "an adapter of another character that is not here", live="other:latest")
    assert baseline(real, week_6) == (LIVE, f"what is live: {LIVE}")
    assert baseline(real, "personality-20260301T000000")[0] == "personality-20260101T000000"
    assert baseline(real, "personality-20260101T000000") == (
        None,
        "no parent, and it is what is live itself: it must rise above the base model",
    )
    assert baseline(real, LIVE)[0] == "personality-20260101T000000"
    deployed(real, None)
    assert "what is live, casiopy:week05, is not in" in baseline(real, week_6)[1]
    deployed(real, None, live="other:latest")
    assert "what is live, casiopy:week05, is not in" in baseline(real, week_6)[1]


def test_what_is_live_is_what_the_week_stands_on(real: Path) -> None:
    """One rule for the gate's reference and for the week's parent: the newest line about the persona's own live tag."""
    deployed(real, LIVE)
    deployed(real, "gone", live="other:latest")
    deployed(real, "personality-20260401T000000", tag="casiopy:rehearsal", live="rehearsal:latest")
    parent, _ = live_layer_1(None, "casiopy", Settings(adapters_dir=real))
    assert (parent, baseline(real, "personality-20260301T000000")[0]) == ("personality-20260101T000000",) * 2
    deployed(real, "gone")
    assert (live_layer_1(None, "casiopy", Settings(adapters_dir=real))[0], baseline(real, LIVE)[1]) == (
        None,
        f"the layer it was trained on: personality-20260101T000000 (what is live, gone, is not in {real})",
    )


def test_a_live_week_with_a_skill_is_found_as_a_join(real: Path) -> None:
    week_6 = "episodic-2026-w06-20260208T000000"
    deployed(real, LIVE, skills=["skill-chess"])
    assert "with skill-chess, is not joined in" in baseline(real, week_6)[1]
    names = ["personality-20260101T000000", LIVE, "skill-chess"]
    live = join(real, names)
    assert baseline(real, week_6)[0] == live.name
    assert baseline(real, f"joined/{live.name}")[0] == LIVE
    assert baseline(real, str(join(real, ["personality-20260101T000000", week_6, "skill-chess"])))[0] == live.name
    assert baseline(real, str(join(real, ["skill-a", "skill-b"], base="d" * 64))) == (
        None,
        f"one layer alone: it must rise above the base model (what is live, {live.name}, stands on another base)",
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot be read as a join"),
        ('{"schema": "other"}', "its schema is other"),
        ('{"schema": "casiopy/joined-v1", "layers": []}', "KeyError"),
    ],
)
def test_a_damaged_join_says_what_to_do(tmp_path: Path, content: str, words: str) -> None:
    folder = join(tmp_path, [LIVE])
    (folder / "joined.json").write_text(content, encoding="utf-8")
    with pytest.raises(AdapterError, match=f"{words}.*casiopy join"):
        baseline(tmp_path, str(folder))


def test_a_bad_folder_is_passed_over_by_name(adapters: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = [folder.name for folder, _ in adapters_in(adapters)]
    assert capsys.readouterr().err == ""
    add(adapters, "joined-too-20260301T000000", 2, (2026, 5))
    (adapters / "joined-too-20260301T000000" / "joined.json").write_text("{", encoding="utf-8")
    add(adapters, "undated-20260301T000000", 2, (2026, 5), created_at=None)
    add(adapters, "baseless-20260301T000000", 1, base_model=None)
    add(adapters, "numberless-20260301T000000", 2, status=None)
    add(adapters, "foreign-20260301T000000", 2, schema="another")
    for name, content in (("broken", b"{"), ("latin-1", "{'ñ'}".encode("latin-1")), ("list", b"[]")):
        (adapters / name).mkdir()
        (adapters / name / "manifest.json").write_bytes(content)
    (adapters / "folder" / "manifest.json").mkdir(parents=True)
    assert [folder.name for folder, _ in adapters_in(adapters)] == good
    noted = capsys.readouterr().err.splitlines()
    bad = {path.parent for path in adapters.glob("*/manifest.json")} - {adapters / name for name in good}
    assert len(noted) == len(bad) == 9
    assert all(any(line.startswith(f"Passed over {folder}: ") for line in noted) for folder in bad)
    assert newest_adapter_of_week(adapters, 5) == adapters / "episodic-2026-w05-20260202T000000"
    with pytest.raises(AdapterError, match="is already a joined adapter, made of layers that its joined"):
        read_adapter(adapters / "joined-too-20260301T000000")


def test_a_later_layer_finds_its_ground_beside_a_bad_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = b"weights"
    pin = {"file": "w", "sha256": hashlib.sha256(weights).hexdigest()}
    add(tmp_path, "personality-20260101T000000", 1, weights=pin)
    (tmp_path / "personality-20260101T000000" / "w").write_bytes(weights)
    add(tmp_path, "personality-20260201T000000", 1)
    (tmp_path / "personality-20260201T000000" / "joined.json").write_text('{"layers": []}', encoding="utf-8")
    recipe = small_recipe(tmp_path, layer=2)
    found = find_parents(recipe, None, BaseModel("base", tmp_path, "c" * 64), Settings(adapters_dir=tmp_path))
    assert found == [tmp_path / "personality-20260101T000000"]
    assert "Passed over" in capsys.readouterr().err


def test_a_layer_1_elsewhere_is_refused_before_a_layer_that_would_not_find_it(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    add(there, "personality-20260101T000000", 1)
    recipe, base = small_recipe(tmp_path, layer=2), BaseModel("base", tmp_path, "c" * 64)
    with pytest.raises(AdapterError, match=f"lies in {there}, .*Give --output-dir {there}"):
        find_parents(recipe, str(there / "personality-20260101T000000"), base, Settings(adapters_dir=here))
    here.symlink_to(there)
    with pytest.raises(AdapterError, match=r"weights .* are gone"):  # found, and looked at further
        find_parents(recipe, str(there / "personality-20260101T000000"), base, Settings(adapters_dir=here))
