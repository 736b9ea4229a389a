"""`casiopy doctor`: every failure with its remedy, asked of made-up machines; and the ten steps on this one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from persona_training import machine_checks
from persona_training.cli import main
from persona_training.display import Display
from persona_training.findings import Check
from persona_training.machine_checks import check_driver, check_folder, check_gpu, check_python, check_torch_build
from persona_training.neighbour_checks import check_base, check_memory_service, check_ollama
from persona_training.pin_checks import check_packages, check_pins, check_unsloth, read_pins
from persona_training.settings import Settings
from persona_training.smoke import check_smoke
from persona_training.torch_choice import CannotChooseError, Driver

ROOT = Path(__file__).parents[3]


def sound(check: Check) -> Check:
    """What does not pass says what to do."""
    assert check.level == "ok" or check.remedy or "torch is a CPU build" in check.found
    return check


def test_it_names_a_remedy_for_every_failure(tmp_path: Path) -> None:
    assert check_python((3, 10)).failed
    assert check_python((3, 12)).level == "ok"
    found = {c.name: c for c in check_packages(["click>=8", "rich>=999", "no-such-library>=1", 'x; extra == "gpu"'])}
    assert {name: check.level for name, check in found.items()} == {
        "click": "ok",
        "rich": "fail",
        "no-such-library": "fail",
    }
    assert 'pip install "rich>=999"' in found["rich"].remedy
    (tmp_path / "file").write_text("", encoding="utf-8")
    blocked = check_folder("data folder", tmp_path / "file" / "below")
    assert (blocked.level, bool(blocked.remedy)) == ("fail", True)
    assert check_folder("data folder", tmp_path / "new").level in ("ok", "note")


def test_the_tested_versions_are_read_from_the_files_pip_is_given(tmp_path: Path) -> None:
    assert read_pins(ROOT / "constraints.txt")["transformers"] == "5.17.0"
    assert {"unsloth", "unsloth-zoo", "trl"} <= set(read_pins(ROOT / "training" / "requirements-unsloth.txt"))
    assert sound(check_pins(["click>=8", "torch>=2"], tmp_path)).level == "note"
    (tmp_path / "constraints.txt").write_text("click==0.1\nrich==1\n", encoding="utf-8")
    other = sound(check_pins(["click>=8"], tmp_path))
    assert (other.level, "instead of 0.1" in other.found) == ("note", True)
    assert check_pins(["torch>=2"], tmp_path).level == "ok"
    assert sound(check_unsloth(ROOT)).level in ("ok", "note")


@pytest.mark.parametrize(
    ("driver", "built_for", "level", "told"),
    [
        (None, None, "note", "CPU build"),
        (Driver("580.95", (13, 0), 8.6, 8.6), "13.0", "ok", "CUDA 13.0"),
        (Driver("550.54", (12, 4), 8.6, 8.6), "12.6", "ok", "CUDA 12.6"),
        (Driver("550.54", (12, 4), 8.6, 8.6), "13.0", "fail", "--index-url https://download.pytorch.org/whl/cu126"),
        (Driver("580.95", (13, 0), 8.6, 8.6), None, "fail", "pip install --force-reinstall torch=="),
        (Driver("470.82", (11, 4), 8.6, 8.6), "13.0", "fail", "525 or newer"),
    ],
)
def test_torch_is_held_against_the_driver(
    driver: Driver | None, built_for: str | None, level: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_checks, "read_driver", lambda: driver)
    check = sound(check_torch_build(built_for, "2.13.0", "linux"))
    assert check.level == level
    assert told in f"{check.found} {check.remedy}"
    assert check_driver().level == ("ok" if driver else "note")


def test_a_driver_that_does_not_answer_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Driver:
        raise CannotChooseError("nvidia-smi fails (mismatch).")

    monkeypatch.setattr(machine_checks, "read_driver", broken)
    assert sound(check_driver()).failed
    assert sound(check_gpu()).level in ("ok", "note", "fail")


@contextmanager
def answering(body: bytes, status: int = 200) -> Iterator[str]:
    """A neighbour that says the same to everybody."""

    class Neighbour(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Neighbour)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("version", "level"), [("0.5.4", "fail"), ("0.34.1", "ok"), ("0.35.0-rc1", "ok"), ("of-my-own", "ok")]
)
def test_ollama_is_asked_for_its_version(version: str, level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(b'{"version": "%s"}' % version.encode()) as url:
        monkeypatch.setenv("OLLAMA_HOST", url)
        check = sound(check_ollama())
    assert (check.level, version in check.found) == (level, True)
    assert sound(check_ollama()).level == "note"
    monkeypatch.setenv("OLLAMA_HOST", "http://[::1")
    assert "OLLAMA_HOST is no address" in sound(check_ollama()).found


def test_the_memory_service_is_asked_whether_it_is_well() -> None:
    with answering(b"{}") as url:
        assert check_memory_service(Settings(memory_service_url=url)).level == "ok"
    with answering(b"{}", 503) as url:
        assert "503" in sound(check_memory_service(Settings(memory_service_url=url))).found
    assert "does not answer" in sound(check_memory_service(Settings(memory_service_url=url))).found


def test_the_base_model_is_looked_for_and_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from persona_training.tiny.build import TinyRecipe

    settings = Settings(data_dir=tmp_path)
    assert "casiopy tiny build" in sound(check_base(settings, gpu=False)).remedy
    folder = tmp_path / "tiny" / TinyRecipe().name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    assert check_base(settings, gpu=False).level == "ok"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert "hf download" in sound(check_base(settings, gpu=True)).remedy


def test_the_command_passes_here() -> None:
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0, result.output
    assert "Ready to train." in result.output


@pytest.mark.training
def test_ten_steps_are_taken_and_resumed(tmp_path: Path, display: Display, monkeypatch: pytest.MonkeyPatch) -> None:
    check = check_smoke(Settings(data_dir=tmp_path), display)
    assert check.level == "ok", check
    assert "10 steps" in check.found
    assert "tokens/s" in check.found
    assert "to the last bit" in check.found
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("usage", (), {"free": 1}))
    refused = check_smoke(Settings(data_dir=tmp_path), display)
    assert (refused.level, "Free some space" in refused.found) == ("fail", True)
