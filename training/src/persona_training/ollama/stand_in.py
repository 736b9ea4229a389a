"""A server that speaks Ollama's HTTP interface, for tests and for trying a deployment without Ollama.

It keeps models in memory, checks digests as the real one does, and replies from a list instead of from the weights. Shapes,
status codes and the words of errors are those of Ollama's docs/api.md, server/routes.go and server/create.go (commit 24fbbbb):
what goes wrong after the first line of a stream is an {"error": …} line in it. `fail` makes any step go wrong: a status
code, a full disk, a stream cut in the middle, or silence.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Rules = Literal["accept", "refuse", "ignore"]
Json = dict[str, Any]
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}:[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")
DETAILS = {"format": "gguf", "family": "llama", "parameter_size": "1M", "quantization_level": "Q8_0"}
DURATIONS = {"total_duration": 9, "load_duration": 1, "prompt_eval_count": 5, "eval_count": 7, "eval_duration": 4}
MOMENT = "2026-02-01T12:00:00Z"
NO_ROOM = "write /root/.ollama/models/blobs/sha256-0123456789: no space left on device"
REPLY = "*suspiro* Aquí estoy, mortal. Qué ilusión."


@dataclass(frozen=True)
class Failure:
    """How a step goes wrong: `status` 400 or 500 with `{"error": …}`, "full" (500, no space left), "cut" (the stream ends
    early), "error_line" and "full_line" (an error inside a 200 stream) or "slow" (nothing for `seconds`, or until the server
    ends). Requests number `first` to `last` of that step fail."""

    kind: int | str
    first: int = 0
    last: int = sys.maxsize
    seconds: float = 600.0


@dataclass
class StandInOllama:
    """Use as a context manager; `url` is its address.

    Attributes:
        models: tag to {"digest", "system", "template", "parameters", "files", "adapters"}.
        blobs: digest to content.
        failures: step to failure; steps are version, tags, blob_head, blob, probe (a create that names no file), create, show,
            copy, delete, chat, and "any" for all of them counted together.
        requests: (step, body) of everything that was asked, in order.
        speak: (tag, messages, options) to a reply.
        version: what it says of itself.
        adapters: what it does with a GGUF adapter: "accept" as releases before 0.34.1 do (one of them, no more), "refuse" as
            later ones were reported to, or "ignore": take it and answer as `base_reply`.
        structured: whether models are created from files, as since 0.5.5; before, /api/create wanted a Modelfile.
        base_reply: what a model with an ignored adapter says, and one created as the bare base.
    """

    models: dict[str, Json] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    requests: list[tuple[str, Json]] = field(default_factory=list)
    speak: Callable[[str, list[Json], Json], str] = field(default=lambda _tag, _messages, _options: REPLY)
    url: str = ""
    version: str = "0.0.0-stand-in"
    adapters: Rules = "accept"
    structured: bool = True
    base_reply: str = "Hello! How can I help you today?"
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> StandInOllama:
        owner = self

        class Handler(_Handler):
            stand_in = owner

        self._server = _QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fail(
        self, step: str, kind: int | str, *, after: int = 0, times: int | None = None, seconds: float = 600.0
    ) -> None:
        """Let a step go wrong: from now on its next `after` requests succeed, then `times` (None: all) fail."""
        first = self.count(step) + after
        self.failures[step] = Failure(kind, first, sys.maxsize if times is None else first + times - 1, seconds)

    def count(self, step: str) -> int:
        """How often a step was asked for."""
        return len(self.requests) if step == "any" else sum(asked == step for asked, _ in self.requests)

    def digest_of(self, tag: str) -> str | None:
        """Digest of a served tag, or None."""
        model = self.models.get(tag)
        return None if model is None else str(model["digest"])


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that gave up waiting is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    stand_in: StandInOllama
    protocol_version = "HTTP/1.1"
    # An answer goes out in two pieces; the second would wait 40 ms for an acknowledgement.
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Tests read `requests` instead."""

    def do_GET(self) -> None:
        steps = {"/api/version": ("version", self._version), "/api/tags": ("tags", self._tags)}
        step, answer = steps.get(self.path, ("unknown", self._unknown))
        self._answer(step, answer, {})

    def do_HEAD(self) -> None:
        digest = self.path.rpartition("/")[2]
        known = digest in self.stand_in.blobs
        self._answer("blob_head", lambda _: self._reply(200 if known else 404, None), body={"digest": digest})

    def do_DELETE(self) -> None:
        self._answer("delete", self._delete, body=self._read_json())

    def do_POST(self) -> None:
        if self.path.startswith("/api/blobs/"):
            content = self._read()
            digest = self.path.rpartition("/")[2]
            self._answer("blob", lambda _: self._blob(digest, content), body={"digest": digest, "bytes": len(content)})
            return
        steps = {
            "/api/create": ("create", self._create),
            "/api/show": ("show", self._show),
            "/api/copy": ("copy", self._copy),
            "/api/chat": ("chat", self._chat),
        }
        step, answer = steps.get(self.path, ("unknown", self._unknown))
        body = self._read_json()
        if step == "create" and not body.get("files") and "from" not in body:
            step = "probe"
        self._answer(step, answer, body)

    def _answer(self, step: str, answer: Callable[[Json], None], body: Json) -> None:
        failure = self._due(step)
        self.stand_in.requests.append((step, body))
        if failure is None:
            answer(body)
        elif isinstance(failure.kind, int):
            self._reply(failure.kind, {"error": f"{step} was made to fail"})
        elif failure.kind == "full":
            self._reply(500, {"error": NO_ROOM})
        elif failure.kind in ("error_line", "full_line") and step not in ("create", "chat"):
            self._reply(500, {"error": NO_ROOM if failure.kind == "full_line" else f"{step} was made to fail"})
        elif failure.kind in ("error_line", "full_line"):
            said = NO_ROOM if failure.kind == "full_line" else f"{step} was made to fail"
            self._stream([{"status": "working"}, {"error": said}])
        elif failure.kind == "cut":
            self._stream([{"status": "working", "message": {"role": "assistant", "content": "*sus"}}], cut=True)
        else:
            self.stand_in._ended.wait(failure.seconds)
            self._reply(500, {"error": "too late"})

    def _due(self, step: str) -> Failure | None:
        for name in (step, "any"):
            failure = self.stand_in.failures.get(name)
            if failure is not None and failure.first <= self.stand_in.count(name) <= failure.last:
                return failure
        return None

    def _read(self) -> bytes:
        length = self.headers.get("Content-Length")
        if length is not None:
            return self.rfile.read(int(length))
        parts = []
        while size := int(self.rfile.readline().strip() or b"0", 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        return b"".join(parts)

    def _read_json(self) -> Json:
        value = json.loads(self._read() or b"{}")
        return value if isinstance(value, dict) else {}

    def _reply(self, status: int, body: Mapping[str, Any] | None) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, lines: list[Json], cut: bool = False) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in lines:
            content = json.dumps(line).encode() + b"\n"
            self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        if cut:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def _version(self, _: Json) -> None:
        self._reply(200, {"version": self.stand_in.version})

    def _tags(self, _: Json) -> None:
        models = [
            {"name": tag, "model": tag, "modified_at": MOMENT, "size": 1, "digest": model["digest"], "details": DETAILS}
            for tag, model in sorted(self.stand_in.models.items())
        ]
        self._reply(200, {"models": models})

    def _blob(self, digest: str, content: bytes) -> None:
        got = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if digest in self.stand_in.blobs:
            self._reply(200, None)
        elif got != digest:
            self._reply(400, {"error": f'digest mismatch, expected "{digest}", got "{got}"'})
        else:
            self.stand_in.blobs[digest] = content
            self._reply(201, None)

    def _create(self, body: Json) -> None:
        refusal = self._refusal(body)
        if refusal is not None:
            self._reply(400, {"error": refusal})
            return
        lines: list[Json] = []
        for named in (body["files"], body.get("adapters", {})):
            if len(named) > 1:
                self._stream([*lines, {"error": "only one adapter is currently supported"}])
                return
            for digest in named.values():
                lines.append({"status": "parsing GGUF"})
                if digest not in self.stand_in.blobs:
                    path = f"/root/.ollama/models/blobs/{digest.replace(':', '-')}"
                    self._stream([*lines, {"error": f"open {path}: no such file or directory"}])
                    return
        content = {key: body.get(key) for key in ("files", "adapters", "system", "template", "parameters")}
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        self.stand_in.models[body["model"]] = {**content, "digest": digest}
        self._stream([*lines, {"status": "writing manifest"}, {"status": "success"}])

    def _refusal(self, body: Json) -> str | None:
        """Why the release this stands in for would not even begin to create such a model."""
        if not self.stand_in.structured:
            return "path or modelfile are required"
        if not TAG.fullmatch(str(body.get("model"))):
            return "invalid model name"
        if "from" in body:
            return f"pull model manifest: {body['from']} is not served here"
        if not body.get("files"):
            return "neither 'from' or 'files' was specified"
        if body.get("quantize"):
            return "create-time quantization is only supported for safetensors imports"
        if body.get("adapters") and self.stand_in.adapters == "refuse":
            return "adapters are not supported"
        return None

    def _known(self, tag: object, quote: str = "'") -> Json | None:
        model = self.stand_in.models.get(str(tag))
        if model is None:
            self._reply(404, {"error": f"model {quote}{tag}{quote} not found"})
        return model

    def _show(self, body: Json) -> None:
        model = self._known(body.get("model"))
        if model is not None:
            parts = {key: model[key] for key in ("system", "template") if model.get(key)}
            told = "\n".join(f"{name} {value}" for name, value in (model.get("parameters") or {}).items())
            facts = {"modelfile": "# Modelfile", "parameters": told, "details": DETAILS, "model_info": {}}
            self._reply(200, {**facts, **parts, "capabilities": ["completion"], "modified_at": MOMENT})

    def _copy(self, body: Json) -> None:
        model = self._known(body.get("source"), '"')
        if model is not None:
            self.stand_in.models[body["destination"]] = dict(model)
            self._reply(200, None)

    def _delete(self, body: Json) -> None:
        if self._known(body.get("model")) is not None:
            del self.stand_in.models[body["model"]]
            self._reply(200, None)

    def _chat(self, body: Json) -> None:
        model = self._known(body.get("model"))
        if model is None:
            return
        ignored = model.get("adapters") and self.stand_in.adapters == "ignore"
        if ignored or str(body["model"]).endswith(":bare"):
            reply = self.stand_in.base_reply
        else:
            reply = self.stand_in.speak(body["model"], body["messages"], body.get("options", {}))
        about = {"model": body["model"], "created_at": MOMENT}
        pieces = [
            {**about, "message": {"role": "assistant", "content": piece + " "}, "done": False}
            for piece in reply.split(" ")
        ]
        end = {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop", **DURATIONS}
        self._stream([*pieces, {**about, **end}])

    def _unknown(self, _: Json) -> None:
        self._reply(404, {"error": "404 page not found"})
