"""The wire: what is sent, and what every kind of failure becomes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from persona_training.generation import Sampling
from persona_training.messages import Message
from persona_training.ollama.replier import OllamaReplier
from persona_training.ollama.server import OllamaAwayError, OllamaError, OllamaServer, host_url
from persona_training.ollama.stand_in import REPLY, StandInOllama

MODEL = {"digest": "d", "system": "Eres Casiopy."}
SAMPLING = Sampling(temperature=0.5, top_p=0.8, top_k=30, repetition_penalty=1.2, max_new_tokens=20)


@pytest.fixture
def server(ollama: StandInOllama) -> OllamaServer:
    return OllamaServer(ollama.url)


@pytest.fixture
def blob(tmp_path: Path) -> tuple[Path, str]:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + bytes(3_000_000))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:11434"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://box.local:1234/", "http://box.local:1234"),
        ("https://box.local", "https://box.local"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:1", "http://127.0.0.1:1"),
        (":5000", "http://127.0.0.1:5000"),
    ],
)
def test_hosts_as_ollama_writes_them(given: str, url: str) -> None:
    assert host_url(given) == url


def test_the_host_comes_from_the_option_the_environment_the_file_or_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("exports", "lora_adapters"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OLLAMA_HOST", raising=False)
    assert host_url() == "http://127.0.0.1:11434"
    (tmp_path / ".env").write_text("OLLAMA_HOST=file:1\n", encoding="utf-8")
    assert host_url() == "http://file:1"
    monkeypatch.setenv("OLLAMA_HOST", "environment:2")
    assert host_url() == "http://environment:2"
    assert host_url("option:3") == "http://option:3"


def test_a_file_is_there_after_its_upload(ollama: StandInOllama, server: OllamaServer, blob: tuple[Path, str]) -> None:
    path, sha256 = blob
    assert not server.has(path, sha256)
    server.upload(path, sha256)
    assert ollama.blobs[f"sha256:{sha256}"] == path.read_bytes()
    assert server.has(path, sha256)


def test_a_wrong_digest_is_refused(ollama: StandInOllama, server: OllamaServer, blob: tuple[Path, str]) -> None:
    with pytest.raises(OllamaError, match="digest mismatch"):
        server.upload(blob[0], "0" * 64)
    assert ollama.blobs == {}


def test_create_names_files_and_nothing_else(
    ollama: StandInOllama, server: OllamaServer, blob: tuple[Path, str]
) -> None:
    server.upload(*blob)
    body = {"model": "casiopy:candidate", "files": {"m.gguf": f"sha256:{blob[1]}"}, "system": "Eres Casiopy."}
    assert list(server.create(body)) == ["parsing GGUF", "writing manifest", "success"]
    assert list(server.digests()) == ["casiopy:candidate"]
    assert server.system_of("casiopy:candidate") == "Eres Casiopy."


def test_a_missing_blob_is_named(server: OllamaServer) -> None:
    with pytest.raises(OllamaError, match=r"lost a file that was uploaded to it.*Run the same command again"):
        list(server.create({"model": "casiopy:candidate", "files": {"m.gguf": "sha256:00"}}))


def test_copy_and_delete(ollama: StandInOllama, server: OllamaServer) -> None:
    ollama.models["a:1"] = dict(MODEL)
    server.copy("a:1", "a:2")
    server.delete("a:1")
    assert server.digests() == {"a:2": "d"}
    with pytest.raises(OllamaError, match='model "a:1" not found'):
        server.copy("a:1", "a:3")
    with pytest.raises(OllamaError, match="model 'a:1' not found"):
        server.delete("a:1")


def test_every_sampling_value_is_sent(ollama: StandInOllama, server: OllamaServer) -> None:
    ollama.models["a:1"] = dict(MODEL)
    assert server.chat("a:1", [{"role": "user", "content": "hola"}], SAMPLING, 9) == REPLY
    body = ollama.requests[-1][1]
    assert body["options"] == {
        "temperature": 0.5,
        "top_p": 0.8,
        "top_k": 30,
        "repeat_penalty": 1.2,
        "repeat_last_n": -1,
        "num_predict": 20,
        "seed": 9,
    }


def test_a_replier_keeps_the_order_and_gives_every_conversation_its_seed(
    ollama: StandInOllama, server: OllamaServer
) -> None:
    ollama.models["a:1"] = dict(MODEL)
    ollama.speak = lambda _tag, messages, options: f"{messages[-1]['content']} {options['seed']}"
    conversations = [[Message(role="user", content=text)] for text in ("uno", "dos")]
    assert OllamaReplier("a:1", server).reply(conversations, SAMPLING, 40) == ["uno 40", "dos 41"]


def test_nobody_there() -> None:
    with pytest.raises(OllamaAwayError, match="No Ollama answers at http"):
        OllamaServer("127.0.0.1:9").version()


def _list_create(server: OllamaServer) -> object:
    return list(server.create({"model": "a:2", "files": {"m": "sha256:1"}}))


STEPS: dict[str, Callable[[OllamaServer], object]] = {
    "version": lambda server: server.version(),
    "tags": lambda server: server.digests(),
    "show": lambda server: server.system_of("a:1"),
    "copy": lambda server: server.copy("a:1", "a:2"),
    "delete": lambda server: server.delete("a:1"),
    "create": _list_create,
    "chat": lambda server: server.chat("a:1", [{"role": "user", "content": "hola"}], SAMPLING, 1),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("status", [400, 500])
def test_every_step_fails_in_words(ollama: StandInOllama, server: OllamaServer, step: str, status: int) -> None:
    ollama.models["a:1"] = dict(MODEL)
    ollama.fail(step, status)
    with pytest.raises(OllamaError, match=rf"made to fail \(HTTP {status}\)"):
        STEPS[step](server)


@pytest.mark.parametrize("step", STEPS)
def test_a_server_that_says_nothing_is_not_waited_for(ollama: StandInOllama, step: str) -> None:
    ollama.models["a:1"] = dict(MODEL)
    ollama.fail(step, "slow")
    with pytest.raises(OllamaError, match="said nothing for too long"):
        STEPS[step](OllamaServer(ollama.url, silence_seconds=0.1))


@pytest.mark.parametrize("step", ["create", "chat"])
@pytest.mark.parametrize(
    ("kind", "message"), [("cut", "broke|stopped before|broke off"), ("error_line", "was made to fail")]
)
def test_a_stream_that_breaks_is_no_success(
    ollama: StandInOllama, server: OllamaServer, step: str, kind: str, message: str
) -> None:
    ollama.models["a:1"] = dict(MODEL)
    ollama.fail(step, kind)
    with pytest.raises(OllamaError, match=message):
        STEPS[step](server)


def test_something_else_on_that_port_is_noticed(ollama: StandInOllama) -> None:
    with pytest.raises(OllamaError, match="HTTP 404"):
        OllamaServer(ollama.url + "/elsewhere").version()
