"""Settings, hardware, the doctor, registering, and the commands' first line of defence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from persona_training.backends import choose_backend
from persona_training.bases import find_base
from persona_training.cli import commands, main
from persona_training.errors import AdapterError, BaseModelError, PersonaTrainingError, RecipeError
from persona_training.evaluation.service import MemoryService
from persona_training.exporting.client import ExportClient
from persona_training.hardware import choose_hardware
from persona_training.hashing import sha256_file
from persona_training.probes.service import PersonaSource
from persona_training.registry import register, withdrawn_exports
from persona_training.service_address import AddressError
from persona_training.settings import Settings, project_root


def test_settings_come_from_the_environment_then_the_file_then_the_project(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("EXPORTS_DIR=/from/file\nMEMORY_SERVICE_URL=http://file/\n", encoding="utf-8")
    settings = Settings.from_env({"MEMORY_SERVICE_URL": "http://env/", "CASIOPY_DATA": ""}, tmp_path)
    assert settings.exports_dir == Path("/from/file")
    assert settings.memory_service_url == "http://env"
    assert settings.data_dir == tmp_path / ".casiopy"
    assert settings.adapters_dir == tmp_path / "lora_adapters"
    (tmp_path / ".env").write_bytes("API_KEY=año\n".encode("latin-1"))
    with pytest.raises(PersonaTrainingError, match=r"\.env cannot be read .*UTF-8"):
        Settings.from_env({}, tmp_path)


def test_the_project_is_found_from_its_folders(tmp_path: Path) -> None:
    for name in ("exports", "lora_adapters", "training/deep"):
        (tmp_path / name).mkdir(parents=True)
    assert project_root(tmp_path / "training" / "deep") == tmp_path.resolve()


def test_help_imports_no_torch() -> None:
    code = "import sys; import persona_training.cli; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_commands_are_those_of_the_documentation() -> None:
    assert {"tiny", "train-personality", "train-episodic", "doctor"} <= {command.name for command in commands}
    for command in commands:
        result = CliRunner().invoke(main, [str(command.name), "--help"])
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train-personality"], 1, "No dataset given"),
        (["train-personality", "--dataset", "nowhere"], 1, "No dataset at 'nowhere'"),
        (["train-personality", "--config", "none.yaml", "--dataset", "x"], 1, "No configuration at none.yaml"),
        (["train-personality", "--backend", "llamafile", "--dataset", "x"], 2, "'llamafile' is not"),
        (["train-personality", "--resume", "personality-x"], 1, "No adapter 'personality-x'"),
        (["train-personality", "--allow-personal-data", "  ", "--dataset", "x"], 2, "give a reason in words"),
        (["train-personality", "--resume", "x", "--seed", "3"], 2, "leave out --seed"),
        (["train-personality", "--resume", "x", "--recipe", "y", "z.jsonl"], 2, "leave out the files, --recipe"),
        (["train-personality", "--register", "x", "--resume", "y"], 2, "leave out --resume"),
        (["train-episodic", "--register", "x", "--week", "3", "--no-wait"], 2, "leave out --no-wait, --week"),
        (["train-personality", "--register", "personality-x"], 1, "No adapter 'personality-x'"),
        (["train-episodic", "--week", "54", "--dataset", "x"], 2, "54"),
        (["train-personality", "--dataset", os.fsdecode(b"rows\xff.jsonl")], 2, "is not UTF-8"),
        (["train-personality", "--dataset", "x", "--output-dir", os.fsdecode(b"out\xff")], 2, "is not UTF-8"),
        (["tiny", "build", "--seed", "99999999999999999999"], 2, "is not in the range"),
    ],
)
def test_commands_say_what_is_wrong(
    arguments: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LORA_ADAPTERS_DIR", str(tmp_path / "adapters"))
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    assert message in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("asked", [["--preflight-only", "--dataset", "x"], ["--register", "personality-x"]])
def test_where_no_run_begins_the_other_processes_wait_for_none(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = CliRunner().invoke(main, ["train-personality", *asked])
    assert (result.exit_code, result.output) == (0, "")


def test_a_base_that_is_not_there_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BaseModelError, match="--base-model tiny"):
        find_base("somebody/some-model", tmp_path)
    with pytest.raises(BaseModelError, match="neither a folder nor a model hub id"):
        find_base("/not/a/folder/anywhere", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BaseModelError, match=r"needs config\.json"):
        find_base(str(tmp_path / "empty"), tmp_path)


def test_hardware_says_its_reason() -> None:
    assert "asked for" in choose_hardware("cpu").reason
    assert choose_hardware("cpu").dtype_name == "float32"
    with pytest.raises(PersonaTrainingError, match="Unknown device"):
        choose_hardware("tpu")
    with pytest.raises(RecipeError, match="there is: hf, unsloth"):
        choose_backend("llamafile")


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "personality-20260101T000000"
    folder.mkdir()
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(b"weights")
    manifest = {
        "schema": "casiopy/adapter-v1",
        "adapter_id": folder.name,
        "status": "finished",
        "layer": 1,
        "base_model": {"name": "base", "sha256": "c" * 64},
        "recipe": {"name": "x", "config": {}},
        "parent": None,
        "weights": {"file": weights.name, "sha256": sha256_file(weights)},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


@pytest.mark.parametrize(("status", "refused"), [(201, False), (200, False), (409, True), (400, True), (500, True)])
def test_registering_posts_the_manifest(status: int, refused: bool, adapter: Path) -> None:
    posted: list[dict[str, Any]] = []

    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            assert self.path == "/adapters"
            assert self.headers["Authorization"] == "Bearer key"
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    settings = Settings(memory_service_url=f"http://127.0.0.1:{server.server_port}", api_key="key")
    try:
        if refused:
            with pytest.raises(AdapterError, match="refused"):
                register(adapter, settings)
        else:
            assert register(adapter, settings) is None
    finally:
        server.shutdown()
        server.server_close()
    assert [manifest["adapter_id"] for manifest in posted] == [adapter.name]


@pytest.mark.parametrize("url", ["localhost:8820", "http://localhost:many", "", "http://", "ftp://localhost"])
def test_what_is_no_address_is_said_by_whoever_asks_the_service(url: str, adapter: Path) -> None:
    settings = Settings(memory_service_url=url)
    for ask in (
        lambda: register(adapter, settings),
        lambda: withdrawn_exports(settings),
        lambda: MemoryService(settings),
    ):
        with pytest.raises(AddressError, match=r"no address of a service.* Try http://127"):
            ask()


def test_an_answer_that_cannot_be_unpacked_is_no_traceback() -> None:
    def garbled(request: httpx.Request) -> httpx.Response:
        raise httpx.DecodingError("no gzip", request=request)

    network = httpx.MockTransport(garbled)
    told = partial(pytest.raises, PersonaTrainingError, match="DecodingError")
    with ExportClient("http://memory.test", transport=network) as exports, told():
        exports.create({})
    with PersonaSource("http://memory.test", transport=network) as personas, told():
        personas.persona("x")


@pytest.mark.parametrize("key", ["clave-ñ", "two\nlines"])
def test_what_can_be_no_key_is_said(key: str) -> None:
    with pytest.raises(AddressError, match="Look at API_KEY"):
        withdrawn_exports(Settings(memory_service_url="http://127.0.0.1:9", api_key=key))


def test_the_service_is_not_asked_through_a_proxy(adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "nonsense://")
    assert "(ConnectError)" in str(register(adapter, Settings(memory_service_url="http://127.0.0.1:9")))


def test_without_a_service_the_reason_is_returned(adapter: Path) -> None:
    assert "does not answer" in str(register(adapter, Settings(memory_service_url="http://127.0.0.1:9")))
