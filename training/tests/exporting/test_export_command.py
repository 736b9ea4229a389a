"""`export_training_data.py` as an operator runs it: what it asks, what it writes, and that it leaves nothing half-written."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from persona_training.evaluation.battery import load_battery
from persona_training.exporting import folder
from persona_training.exporting.command import export

from .stand_in import TRAIN, VAL, Behaviour, manifest, stand_in

SCRIPT = Path(__file__).parents[2] / "export_training_data.py"


@pytest.fixture
def behaviour() -> Behaviour:
    return Behaviour()


@pytest.fixture
def url(behaviour: Behaviour) -> Iterator[str]:
    with stand_in(behaviour) as address:
        yield address


def run(url: str, exports: Path, *arguments: str) -> Result:
    return CliRunner().invoke(export, ["--url", url, "--exports-dir", str(exports), *arguments])


def written(folder: Path) -> dict[str, bytes]:
    """Every file under a folder, hidden ones too."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_dataset_arrives_whole(url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    result = run(url, tmp_path / "exports", "--type", "personality", "--api-key", "k")
    assert result.exit_code == 0, result.output
    export_id = behaviour.manifest["export_id"]
    files = written(tmp_path / "exports")
    assert set(files) == {
        f"{export_id}/manifest.json",
        f"{export_id}/train.jsonl",
        f"{export_id}/val.jsonl",
        "personality/personality.jsonl",
    }
    assert (files[f"{export_id}/train.jsonl"], files[f"{export_id}/val.jsonl"]) == (TRAIN, VAL)
    assert files[f"{export_id}/manifest.json"] == behaviour.whole_manifest
    assert behaviour.queries == ["rows=false"]
    assert files["personality/personality.jsonl"] == TRAIN
    assert behaviour.keys == ["Bearer k"]
    assert "4 exchanges in 3 train rows and 1 held-out rows" in result.output
    assert "quality below 0.6" in result.output
    assert "2 email" in result.output
    assert "shorter than 62 characters before and 58 after (shift 0.03)" in result.output
    assert f"train_personality_lora.py --dataset {export_id}" in result.output


def test_flags_reach_the_service(url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    behaviour.manifest = manifest(week=5)
    output = tmp_path / "new" / "week_05.jsonl"
    flags = ["--type", "episodic", "--week", "5", "--year", "2026", "--timezone", "UTC", "--min-quality", "0.7"]
    more = ["--persona", "luma", "--val-share", "0.2", "--seed", "3", "--max-turns", "2", "--output", str(output)]
    result = run(url, tmp_path / "exports", *flags, *more)
    assert result.exit_code == 0, result.output
    (asked,) = behaviour.asked
    assert set(asked.pop("exclude_prompts")) >= set(load_battery().kept_out)
    assert [asked] == [
        {
            "type": "episodic",
            "format": "chatml",
            "week": 5,
            "year": 2026,
            "timezone": "UTC",
            "min_quality": 0.7,
            "persona": "luma",
            "val_share": 0.2,
            "seed": 3,
            "max_turns": 2,
        }
    ]
    assert output.read_bytes() == TRAIN
    assert (tmp_path / "exports/episodic/week_05.jsonl").read_bytes() == TRAIN


def test_the_documented_command_without_type(url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    result = run(url, tmp_path / "exports", "--format", "chatml", "--output", str(tmp_path / "week_05.jsonl"))
    assert result.exit_code == 0, result.output
    assert behaviour.asked[0]["type"] == "personality"
    assert "no --type, --week or --skill given" in result.output
    assert (tmp_path / "week_05.jsonl").read_bytes() == TRAIN


def test_an_intact_dataset_is_not_fetched_again(url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    run(url, tmp_path)
    assert len(behaviour.fetched) == 2
    result = run(url, tmp_path)
    assert len(behaviour.fetched) == 2
    assert "Unchanged" in result.output
    damaged = tmp_path / behaviour.manifest["export_id"] / "train.jsonl"
    damaged.write_bytes(b"")
    assert run(url, tmp_path).exit_code == 0
    assert damaged.read_bytes() == TRAIN


def test_rows_that_differ_from_the_manifest_are_refused(url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    behaviour.files["val"] = VAL.replace(b"mortal", b"humano")
    result = run(url, tmp_path / "exports")
    assert result.exit_code == 1
    assert "not those the manifest pins" in result.output
    assert list((tmp_path / "exports").iterdir()) == []


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between tries."""
    monkeypatch.setattr(folder, "_FIRST_PAUSE_SECONDS", 0.0)


@pytest.mark.usefixtures("impatient")
def test_a_broken_connection_goes_on_by_itself(url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    behaviour.cuts = 3
    assert run(url, tmp_path).exit_code == 0
    first = len(TRAIN) - len(TRAIN) // 2 - len(TRAIN) % 2
    asked = [asked for split, asked in behaviour.fetched if split == "train"]
    assert asked[:2] == [None, f"bytes={first}-"]
    assert len(asked) == 4
    assert written(tmp_path)[f"{behaviour.manifest['export_id']}/train.jsonl"] == TRAIN


@pytest.mark.usefixtures("impatient")
def test_what_arrived_waits_for_the_next_run(url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    behaviour.cuts = folder._TRIES
    result = run(url, tmp_path)
    assert result.exit_code == 1
    assert "goes on where it broke off" in result.output
    export_id = behaviour.manifest["export_id"]
    assert [path.name for path in tmp_path.iterdir()] == [f".{export_id}.partial"]
    there = (tmp_path / f".{export_id}.partial" / "train.jsonl").read_bytes()
    assert 0 < len(there) < len(TRAIN)
    assert TRAIN.startswith(there)
    behaviour.fetched.clear()
    assert run(url, tmp_path).exit_code == 0
    assert behaviour.fetched == [("train", f"bytes={len(there)}-"), ("val", None)]
    assert set(written(tmp_path)) == {
        f"{export_id}/manifest.json", f"{export_id}/train.jsonl", f"{export_id}/val.jsonl",
        "personality/personality.jsonl",
    }  # fmt: skip
    assert written(tmp_path)[f"{export_id}/train.jsonl"] == TRAIN


@pytest.mark.parametrize("left", [b"something else entirely", TRAIN + b"and more", b""])
def test_what_does_not_fit_any_more_is_fetched_again(
    url: str, behaviour: Behaviour, tmp_path: Path, left: bytes
) -> None:
    partial = tmp_path / f".{behaviour.manifest['export_id']}.partial"
    partial.mkdir()
    (partial / "train.jsonl").write_bytes(left)
    result = run(url, tmp_path)
    assert result.exit_code == 0, result.output
    assert written(tmp_path)[f"{behaviour.manifest['export_id']}/train.jsonl"] == TRAIN


def test_what_was_erased_over_there_does_not_wait_here(url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    partial = tmp_path / f".{behaviour.manifest['export_id']}.partial"
    partial.mkdir()
    (partial / "train.jsonl").write_bytes(TRAIN[:50])
    behaviour.gone = True
    result = run(url, tmp_path)
    assert result.exit_code == 1
    assert "1 were erased" in result.output
    assert list(tmp_path.iterdir()) == []


def test_what_nobody_went_on_with_for_a_week_is_swept(url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    for name, age in (("old", 8 * 86_400), ("fresh", 3600)):
        (tmp_path / f".{name}.partial").mkdir()
        then = time.time() - age
        os.utime(tmp_path / f".{name}.partial", (then, then))
    assert run(url, tmp_path).exit_code == 0
    assert [path.name for path in tmp_path.glob(".*.partial")] == [".fresh.partial"]


@pytest.mark.parametrize(
    ("flags", "kind", "form", "copy"),
    [
        (["--skill", "Metroid", "--format", "alpaca"], "skill-metroid", "alpaca", "skill/metroid.jsonl"),
        (["--type", "skill", "--skill", "Metroid"], "skill-metroid-samus", "chatml", "skill/metroid-samus.jsonl"),
        (["--type", "preference"], "preference", "dpo", "preference/dpo.jsonl"),
        (["--type", "preference", "--format", "kto"], "preference", "kto", "preference/kto.jsonl"),
    ],
)
def test_skills_and_preferences(
    url: str, behaviour: Behaviour, tmp_path: Path, flags: list[str], kind: str, form: str, copy: str
) -> None:
    behaviour.manifest = manifest(kind=kind, form=form)
    result = run(url, tmp_path, *flags)
    assert result.exit_code == 0, result.output
    asked = behaviour.asked[0]
    assert (asked["type"], asked["format"], asked.get("skill")) == (
        kind.split("-", maxsplit=1)[0], form, "Metroid" if kind.startswith("skill") else None
    )  # fmt: skip
    assert (tmp_path / copy).read_bytes() == TRAIN
    assert f"train_{kind.split('-', maxsplit=1)[0]}_lora.py --dataset {kind}-" in result.output


def test_another_battery_is_kept_out_too(url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    probe = load_battery().probes[0]
    prompt = probe.prompt
    mine = f"- {{id: {probe.id}, facet: style, prompt: '¿Y esto, quién lo pregunta?', references: [Nadie.]}}"
    other.write_text(f"name: other\nversion: 1\nextends: casiopy\nprobes:\n{mine}\n", encoding="utf-8")
    assert run(url, tmp_path, "--battery", str(other)).exit_code == 0
    assert {prompt, "¿Y esto, quién lo pregunta?"} <= set(behaviour.asked[0]["exclude_prompts"])
    result = run(url, tmp_path, "--battery", str(tmp_path / "none.yaml"))
    assert result.exit_code == 1
    assert "No battery file" in result.output


def test_a_good_dataset_survives_a_failed_refresh(url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    run(url, tmp_path)
    before = written(tmp_path)
    behaviour.manifest = manifest(TRAIN + TRAIN)
    assert run(url, tmp_path).exit_code == 1
    assert written(tmp_path) == before


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (
            (409, b'{"detail": "Nothing to export: of 3 exchanges none was left.", "error": "nothing_selected"}'),
            "none was left",
        ),
        ((400, b'{"detail": "year 2025 has no ISO week 53.", "error": "bad_request"}'), "no ISO week 53"),
        ((401, b'{"detail": "Authentication required", "error": "authentication_required"}'), "--api-key"),
        ((503, b'{"detail": "The database does not answer.", "error": "unavailable"}'), "database does not answer"),
        ((502, b"<html>Bad Gateway</html>"), "502"),
        ((200, b"<html>hello</html>"), "no dataset manifest"),
        ((200, b'{"export_id": "x"}'), "no dataset manifest"),
    ],
)
def test_refusals_are_passed_on(
    url: str, behaviour: Behaviour, tmp_path: Path, refusal: tuple[int, bytes], said: str
) -> None:
    behaviour.refusal = refusal
    result = run(url, tmp_path / "exports")
    assert result.exit_code == 1
    assert said in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "exports").exists()


@pytest.mark.parametrize("export_id", ["../outside", "personality-1a2b3c4d/..", "", "week", ".hidden-1a2b3c4d"])
def test_an_id_cannot_leave_the_folder(url: str, behaviour: Behaviour, tmp_path: Path, export_id: str) -> None:
    behaviour.manifest["export_id"] = export_id
    result = run(url, tmp_path / "exports")
    assert result.exit_code == 1
    assert "cannot be the name of a folder" in result.output
    assert written(tmp_path) == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--type", "episodic"], "needs --week"),
        (["--type", "personality", "--week", "5"], "--week and --year go with"),
        (["--year", "2026"], "--week and --year go with"),
        (["--week", "54"], "54"),
        (["--min-quality", "1.5"], "1.5"),
        (["--format", "parquet"], "parquet"),
        (["--type", "skill"], "--skill NAME"),
        (["--type", "preference", "--skill", "x"], "--skill goes with"),
        (["--type", "preference", "--week", "5"], "--week and --year go with"),
        (["--type", "preference", "--format", "chatml"], "go with --type preference"),
        (["--format", "dpo"], "go with --type preference"),
    ],
)
def test_wrong_flags_are_explained(tmp_path: Path, arguments: list[str], said: str) -> None:
    result = run("http://127.0.0.1:9", tmp_path, *arguments)
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.parametrize(
    ("url", "said"), [("http://127.0.0.1:9", "casiopy serve"), ("nonsense", "no address of a service")]
)
def test_a_service_that_is_away(tmp_path: Path, url: str, said: str) -> None:
    result = run(url, tmp_path / "exports")
    assert result.exit_code == 1
    assert said in result.output
    assert not (tmp_path / "exports").exists()


def test_a_folder_that_cannot_be_written(url: str, tmp_path: Path) -> None:
    (tmp_path / "exports").write_text("a file, not a folder")
    result = CliRunner().invoke(export, ["--url", url, "--exports-dir", str(tmp_path / "exports" / "below")])
    assert result.exit_code == 1
    assert "cannot be written" in result.output


@pytest.mark.parametrize("place", [".", "training"])
def test_the_script_writes_to_the_projects_exports_from_any_folder(url: str, tmp_path: Path, place: str) -> None:
    for name in ("exports", "lora_adapters", "training"):
        (tmp_path / name).mkdir()
    environment = {k: v for k, v in os.environ.items() if k not in ("EXPORTS_DIR", "API_KEY")}
    environment |= {"MEMORY_SERVICE_URL": url, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--type", "personality"],
        cwd=tmp_path / place, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "exports" / "personality" / "personality.jsonl").read_bytes() == TRAIN


@pytest.mark.parametrize("option", ["--min-quality", "--val-share"])
def test_what_is_not_a_number_is_refused(option: str, url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    result = run(url, tmp_path / "exports", "--type", "personality", option, "nan")
    assert result.exit_code == 2
    assert "'nan' is not a number" in result.output
    assert not behaviour.asked


@pytest.mark.parametrize("held", [b"my notes\n", b"\xff\xfe\x00", b'{"text": "hola"}\n', b"\n"])
def test_a_file_that_is_no_dataset_is_not_replaced(held: bytes, url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    output = tmp_path / "mine.jsonl"
    output.write_bytes(held)
    result = run(url, tmp_path / "exports", "--type", "personality", "--output", str(output))
    assert result.exit_code == 1
    assert "does not begin with a dataset row" in result.output
    assert output.read_bytes() == held
    assert not behaviour.asked


@pytest.mark.parametrize(
    "held", [b"", b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n']
)
def test_an_earlier_copy_is_replaced(held: bytes, url: str, tmp_path: Path) -> None:
    output = tmp_path / "mine.jsonl"
    output.write_bytes(held)
    result = run(url, tmp_path / "exports", "--type", "personality", "--output", str(output))
    assert result.exit_code == 0, result.output
    assert output.read_bytes() == TRAIN
