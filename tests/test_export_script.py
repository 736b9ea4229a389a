"""`training/export_training_data.py` against the real service: what it writes is what the trainers read."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import jsonschema
import pytest
from persona_training.datasets import load_dataset
from running import ROOT, Service

# A week of its own: other tests fill the weeks of the sample month.
WEEK, DAY = ["--week", "10", "--year", "2025"], "2025-03-04"
REPLIES = [
    "*suspiro* El universo no se depura solo, mortal, y tú aquí pidiendo memes.",
    "*bosteza* Los lunes deberían venir con manual y con indemnización, criatura.",
    "Obvio que gana Samus; tú te perderías en el primer ascensor, mortal.",
]


@pytest.fixture(scope="module")
def week_10(service: Service) -> int:
    """Three good exchanges of two viewers, one of them with an e-mail address."""
    with httpx.Client(base_url=service.url, timeout=30) as client:
        for number, reply in enumerate(REPLIES):
            opening = {"user_id": f"viewer_{number % 2}", "started_at": f"{DAY}T19:00:00Z"}
            session = client.post("/sessions", json=opening).raise_for_status().json()
            exchange = {
                "session_id": session["id"],
                "input_text": f"Pregunta {number * 37} de parte de luna{number}@example.org",
                "output_text": reply,
                "occurred_at": f"{DAY}T19:0{number}:00Z",
            }
            client.post("/interactions", json=exchange).raise_for_status()
    return len(REPLIES)


def script(service: Service, *arguments: str, place: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "training" / "export_training_data.py"), *arguments]
    return subprocess.run(
        command, cwd=place, env=service.environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_week_arrives_and_trains(service: Service, week_10: int) -> None:
    done = script(service, "--type", "episodic", *WEEK, place=ROOT / "training")
    assert done.returncode == 0, done.stderr
    assert "ISO week 10 of 2025" in done.stdout
    exports = Path(service.environment["EXPORTS_DIR"])
    (folder,) = exports.glob("episodic-2025-w10-*")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    jsonschema.validate(
        manifest, json.loads((ROOT / "exports/schema/dataset-v1.schema.json").read_text(encoding="utf-8"))
    )
    assert len(manifest["rows"]) == week_10
    assert (exports / "episodic" / "week_10.jsonl").read_bytes() == (folder / "train.jsonl").read_bytes()
    assert "example.org" not in (folder / "train.jsonl").read_text(encoding="utf-8")
    dataset = load_dataset([manifest["export_id"]], exports)
    assert (dataset.sha256, dataset.week) == (manifest["dataset_sha256"], (2025, 10))
    assert len(dataset.train) + len(dataset.val) == week_10


def test_again_is_the_same_to_the_byte(service: Service, week_10: int, tmp_path: Path) -> None:
    for name in ("first", "second"):
        done = script(service, "--type", "episodic", *WEEK, "--exports-dir", str(tmp_path / name))
        assert done.returncode == 0, done.stderr
    first, second = (
        {p.relative_to(tmp_path / name).as_posix(): p.read_bytes() for p in (tmp_path / name).rglob("*.json*")}
        for name in ("first", "second")
    )
    assert len(first) == 4
    assert first == second


def test_an_empty_week_says_so_and_writes_nothing(service: Service, tmp_path: Path) -> None:
    done = script(
        service, "--type", "episodic", "--week", "11", "--year", "2024", "--exports-dir", str(tmp_path / "new")
    )
    assert done.returncode == 1
    assert "no exchange in week 11 of 2024" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "new").exists()
