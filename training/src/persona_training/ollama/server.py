"""Ollama's HTTP interface, the part a deployment needs. Every failure is one error that names the step."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from dotenv import dotenv_values
from packaging.version import InvalidVersion, Version

from persona_training.errors import PersonaTrainingError
from persona_training.generation import Sampling
from persona_training.settings import project_root

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 11434
CONNECT_SECONDS = 3.0
SILENCE_SECONDS = 300.0  # between two answers: loading an 8B model from a slow disk takes about two minutes
CHUNK_BYTES = 1 << 20
# Since this release models are created from named files (ollama/ollama, pull request 7935); before, from a Modelfile.
OLDEST = Version("0.5.5")
_OLD_RULES = "path or modelfile are required"
_NO_ROOM = ("no space left on device", "not enough space on the disk", "disk quota exceeded")


class OllamaError(PersonaTrainingError):
    """Ollama refused or failed; what was live is untouched. Exit code 4."""

    exit_code = 4


class OllamaAwayError(OllamaError):
    """No Ollama answers at the address. Exit code 3."""

    exit_code = 3


def host_url(given: str | None = None) -> str:
    """The address to talk to: the one given, else OLLAMA_HOST from the environment or `.env`, else the loopback default.

    Accepts what Ollama accepts: "host", "host:port", "http://host:port". 0.0.0.0 is where a server listens, so a client
    reads it as the loopback address.
    """
    env_file = project_root() / ".env"
    stored = dotenv_values(env_file).get("OLLAMA_HOST") if env_file.is_file() else None
    host = given or os.environ.get("OLLAMA_HOST") or stored or DEFAULT_HOST
    url = httpx.URL(host if "://" in host else f"http://{host}")
    name = DEFAULT_HOST if url.host in ("", "0.0.0.0") else url.host  # noqa: S104 (compared with, not bound to)
    port = url.port or {"http": DEFAULT_PORT, "https": 443}.get(url.scheme, DEFAULT_PORT)
    return str(url.copy_with(host=name, port=port)).rstrip("/")


class OllamaRefusedError(OllamaError):
    """Ollama understood the request and will not carry it out: its rules, not its health. Exit code 4."""


class OllamaTooOldError(OllamaError):
    """This release cannot create a model from files that were sent to it. Exit code 4."""


class OllamaServer:
    """One Ollama. Methods raise OllamaAwayError when nobody answers and OllamaError for everything else."""

    def __init__(self, host: str | None = None, *, silence_seconds: float = SILENCE_SECONDS) -> None:
        self.url = host_url(host)
        self._http = httpx.Client(
            base_url=self.url,
            timeout=httpx.Timeout(silence_seconds, connect=CONNECT_SECONDS),
            trust_env=False,  # a proxy between this machine and itself helps nobody
        )

    def version(self) -> str:
        """The server's version: the cheapest way to know that it is there."""
        return str(self._json("GET", "/api/version", "ask for the version").get("version", "unknown"))

    def usable_version(self, tag: str) -> str:
        """The version, after trying whether this release creates models from files that were sent to it.

        The attempt names no file, so every release refuses it, each in its own words; `tag` is not created. Builds of one's
        own say 0.0.0, so a version alone only decides where it is a release that is known to be too old.

        Raises:
            OllamaTooOldError: it is.
        """
        version = self.version()
        old = _known_old(version)
        if not old:
            try:
                self._request("POST", "/api/create", "try /api/create", json_body={"model": tag, "stream": False})
            except OllamaRefusedError as refusal:
                old = _OLD_RULES in refusal.message.lower()
        if old:
            raise OllamaTooOldError(
                f"The Ollama at {self.url} is version {version}; {OLDEST} or newer is needed to create a model from files "
                "that are sent to it. Update it (https://ollama.com/download) and run the same command again."
            )
        return version

    def digests(self) -> dict[str, str]:
        """Tag to digest of every model it serves; tags that were copied from each other share a digest."""
        models = self._json("GET", "/api/tags", "list the models").get("models") or []
        return {str(model["name"]): str(model["digest"]) for model in models}

    def serves(self, tag: str) -> bool:
        """Is a model of this name there?"""
        return tag in self.digests()

    def system_of(self, tag: str) -> str:
        """The system prompt inside a tag; empty when it has none."""
        return str(self._json("POST", "/api/show", f"show {tag}", {"model": tag}).get("system") or "")

    def has(self, path: Path, sha256: str) -> bool:
        """Does the server have a file of this digest?"""
        answer = self._request("HEAD", f"/api/blobs/sha256:{sha256}", f"ask for {path.name}", accept=(404,))
        return answer.status_code != httpx.codes.NOT_FOUND

    def upload(self, path: Path, sha256: str) -> None:
        """Bring a file to the server under its digest.

        The server checks the digest itself and refuses a file that changed on the way.
        """
        headers = {"Content-Length": str(path.stat().st_size)}
        step = f"upload {path.name}"
        self._request("POST", f"/api/blobs/sha256:{sha256}", step, content=_chunks(path), headers=headers)

    def create(self, body: Mapping[str, Any]) -> Iterator[str]:
        """Create a model, yielding the server's status lines; complete only when the last one is "success"."""
        status = ""
        for line in self._stream("/api/create", f"create {body['model']}", {**body, "stream": True}):
            status = str(line.get("status", status))
            yield status
        if status != "success":
            raise OllamaError(f"Ollama stopped before {body['model']} was complete (last status: {status or 'none'}).")

    def copy(self, source: str, destination: str) -> None:
        """Give a model a second name; an existing one of that name is replaced."""
        body = {"source": source, "destination": destination}
        self._request("POST", "/api/copy", f"copy {source} to {destination}", json_body=body)

    def delete(self, tag: str) -> None:
        """Forget a name (and its files when no other name uses them)."""
        self._request("DELETE", "/api/delete", f"delete {tag}", json_body={"model": tag})

    def chat(self, tag: str, messages: Sequence[Mapping[str, str]], sampling: Sampling, seed: int) -> str:
        """One reply, with every sampling value sent explicitly so that no default of the server decides."""
        body = {"model": tag, "messages": list(messages), "options": options_of(sampling, seed), "stream": True}
        parts: list[str] = []
        for line in self._stream("/api/chat", f"chat with {tag}", body):
            parts.append(str((line.get("message") or {}).get("content", "")))
            if line.get("done"):
                return "".join(parts).strip()
        raise OllamaError(f"Ollama broke off in the middle of a reply of {tag}.")

    def _json(self, method: str, path: str, step: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        response = self._request(method, path, step, json_body=body)
        try:
            value = response.json()
        except ValueError as error:
            raise OllamaError(f"Could not {step}: {self.url} does not answer like Ollama.") from error
        if not isinstance(value, dict):
            raise OllamaError(f"Could not {step}: {self.url} does not answer like Ollama.")
        return value

    def _request(
        self,
        method: str,
        path: str,
        step: str,
        *,
        json_body: Mapping[str, Any] | None = None,
        content: Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        accept: tuple[int, ...] = (),
    ) -> httpx.Response:
        try:
            response = self._http.request(method, path, json=json_body, content=content, headers=headers)
        except httpx.HTTPError as error:
            raise self._failed(step, error) from error
        if response.is_error and response.status_code not in accept:
            raise _refusal(step, response)
        return response

    def _stream(self, path: str, step: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        try:
            with self._http.stream("POST", path, json=body) as response:
                if response.is_error:
                    response.read()
                    raise _refusal(step, response)
                for line in response.iter_lines():
                    if not line.strip():
                        continue
                    value = json.loads(line)
                    if "error" in value:
                        raise _trouble(step, str(value["error"])) or OllamaRefusedError(
                            f"Could not {step}: {value['error']}"
                        )
                    yield value
        except httpx.HTTPError as error:
            raise self._failed(step, error) from error
        except ValueError as error:
            raise OllamaError(f"Could not {step}: the answer broke off or is not Ollama's.") from error

    def _failed(self, step: str, error: httpx.HTTPError) -> OllamaError:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return OllamaAwayError(f"No Ollama answers at {self.url}. Start it (`ollama serve`) or set OLLAMA_HOST.")
        if isinstance(error, httpx.TimeoutException):
            return OllamaError(f"Could not {step}: {self.url} said nothing for too long.")
        room = " A full disk there ends an upload like this: look whether it has room." if "upload" in step else ""
        return OllamaError(f"Could not {step}: the connection to {self.url} broke ({type(error).__name__}).{room}")


def options_of(sampling: Sampling, seed: int | None = None) -> dict[str, float | int]:
    """Sampling under Ollama's names. The penalty looks back over the whole context, as it does while training's gate runs."""
    options: dict[str, float | int] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "repeat_penalty": sampling.repetition_penalty,
        "repeat_last_n": -1,
        "num_predict": sampling.max_new_tokens,
    }
    return options if seed is None else {**options, "seed": seed}


def _known_old(version: str) -> bool:
    try:
        known = Version(version)
    except InvalidVersion:
        return False
    return known < OLDEST and known.base_version != "0.0.0"


def _refusal(step: str, response: httpx.Response) -> OllamaError:
    said = _said(response.text)
    kind = OllamaRefusedError if response.is_client_error else OllamaError
    return _trouble(step, said) or kind(f"Could not {step}: {said} (HTTP {response.status_code}).")


def _trouble(step: str, said: str) -> OllamaError | None:
    """Failures of the machine Ollama runs on, known by their words, with what to do; None for anything else."""
    if any(words in said.lower() for words in _NO_ROOM):
        return OllamaError(
            f"Could not {step}: the disk of the machine Ollama runs on is full ({said}). Free some space there (`ollama "
            "list` shows the models, `ollama rm NAME` removes one) and run the same command again."
        )
    if "blobs" in said and "no such file" in said:
        return OllamaError(
            f"Could not {step}: Ollama lost a file that was uploaded to it ({said}); it clears unused files away when it "
            "starts. Run the same command again: the file is uploaded anew."
        )
    return None


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _said(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        return text.strip()[:300] or "no reason given"
    return str(value.get("error", value)) if isinstance(value, dict) else str(value)
