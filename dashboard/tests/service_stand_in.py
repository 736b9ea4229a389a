"""A stand-in memory service: a real threaded HTTP server that speaks the documented contract, and can misbehave."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from example_memory import Json, Store, entry
from stand_in_answers import Refusal, filtered, find, health, page, recollection, sessions, stats


@dataclass
class StandIn:
    """A running stand-in."""

    url: str
    store: Store
    mode: str = "well"
    """well, slow (it answers when the test is over), garbage, hostile (JSON of the wrong shape) or refusing (401)."""
    over: threading.Event = field(default_factory=threading.Event)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    stand_in: StandIn


@contextmanager
def stand_in_service(store: Store) -> Iterator[StandIn]:
    """Serve on a free loopback port."""
    server = _Server(("127.0.0.1", 0), _Contract)
    server.stand_in = StandIn(f"http://127.0.0.1:{server.server_port}", store)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True)
    thread.start()
    try:
        yield server.stand_in
    finally:
        server.stand_in.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Contract(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    @property
    def store(self) -> Store:
        return self.server.stand_in.store

    def log_message(self, *_: object) -> None:
        return None

    def do_GET(self) -> None:
        self._respond(self._get)

    def do_POST(self) -> None:
        self._respond(self._post)

    def do_PUT(self) -> None:
        self._respond(self._put)

    def do_DELETE(self) -> None:
        self._respond(self._delete)

    def _respond(self, act: Callable[[list[str], dict[str, str], Json], tuple[int, Any]]) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        self.store.headers.append(dict(self.headers))
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        path = [unquote(part) for part in parts.path.strip("/").split("/")]
        mode = self.server.stand_in.mode
        if mode == "slow":
            self.server.stand_in.over.wait(120)
        if mode == "garbage":
            return self._send(200, b"<html>not the service</html>", "text/html")
        if mode == "hostile":
            return self._send(200, b'{"items": [{"id": null}], "total": "many", "checks": 7}')
        if mode == "refusing":
            return self._send(401, json.dumps({"detail": "Missing or wrong key.", "error": "unauthorized"}).encode())
        try:
            status, answer = act(path, query, body)
        except Refusal as refusal:
            status, answer = refusal.status, refusal.body
        if isinstance(answer, bytes):
            return self._send(status, answer, "application/x-ndjson")
        return self._send(status, json.dumps(answer, ensure_ascii=False).encode())

    def _send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):  # a dashboard that did not wait for a slow answer
            self.wfile.write(body)

    def _get(self, path: list[str], query: dict[str, str], _body: Json) -> tuple[int, Any]:
        match path:
            case ["health"]:
                return 200, health(self.store)
            case ["stats"]:
                return 200, stats(self.store)
            case ["core-memory", "system-prompt", "generate"]:
                prompt = "\n".join(fact["value"] for fact in self.store.core_memory)
                digest = hashlib.sha256(prompt.encode()).hexdigest()
                return 200, {"system_prompt": prompt, "persona": "casiopy", "entries": 4, "sha256": digest}
            case ["core-memory"]:
                return 200, page(self.store.core_memory, query)
            case ["interactions"]:
                return 200, page(filtered(self.store.interactions, query), query)
            case ["interactions", identifier]:
                return 200, find(self.store.interactions, "id", identifier)
            case ["interactions", identifier, "feedback"]:
                said = [row for row in self.store.feedback if row["interaction_id"] == identifier]
                return 200, page(said, query)
            case ["sessions"]:
                return 200, page(sessions(self.store), query)
            case ["topics"]:
                note = None if self.store.topics else "Topics need 20 embedded interactions; casiopy has 0."
                return 200, {**page(self.store.topics, query), "note": note}
            case ["exports"]:
                return 200, page(self.store.exports, query)
            case ["exports", identifier]:
                return 200, find(self.store.exports, "export_id", identifier)
            case ["exports", identifier, "rows"]:
                find(self.store.exports, "export_id", identifier)
                row = {"messages": [{"role": "user", "content": "desde el servicio"}], "metadata": {}}
                return 200, json.dumps(row).encode() + b"\n"
            case ["adapters"]:
                return 200, page(self.store.adapters, query)
            case ["deployments"]:
                return 200, page(self.store.deployments, query)
            case ["lineage", "interaction", identifier]:
                find(self.store.interactions, "id", identifier)
                return 200, self._lineage([identifier])
            case ["lineage", "adapter", identifier]:
                find(self.store.adapters, "adapter_id", identifier)
                return 200, self._lineage([row["id"] for row in self.store.interactions])
        raise Refusal(404, "not_found", "No such address.")

    def _post(self, path: list[str], _query: dict[str, str], body: Json) -> tuple[int, Any]:
        match path:
            case ["core-memory"]:
                if any(fact["key"] == body["key"] for fact in self.store.core_memory):
                    raise Refusal(409, "duplicate_core_memory", "This key exists already; change it instead.")
                self.store.core_memory.append(entry(len(self.store.core_memory) + 1, **body))
                return 201, self.store.core_memory[-1]
            case ["interactions", identifier, "feedback"]:
                find(self.store.interactions, "id", identifier)
                if not 1 <= body["rating"] <= 5:
                    raise Refusal(400, "bad_input", "rating: send a whole number from 1 to 5.")
                self.store.feedback.append({**body, "interaction_id": identifier, "created_at": "2026-01-21T10:00:00Z"})
                return 201, self.store.feedback[-1]
            case ["memory", "context"]:
                return 200, recollection(self.store, body)
            case ["topics", "refresh"]:
                self.store.refreshed += 1
                return 202, {"status": "queued"}
        raise Refusal(404, "not_found", "No such address.")

    def _put(self, path: list[str], _query: dict[str, str], body: Json) -> tuple[int, Any]:
        if path[0] == "core-memory":
            fact = self._mutable(path[1])
            fact["value"] = body["value"]
            return 200, fact
        row = find(self.store.interactions, "id", path[1])
        row["quality_score"], row["quality_source"] = body["quality_score"], "human"
        return 200, row

    def _delete(self, path: list[str], _query: dict[str, str], _body: Json) -> tuple[int, Any]:
        self.store.core_memory.remove(self._mutable(path[1]))
        return 200, {}

    def _mutable(self, identifier: str) -> Json:
        fact = find(self.store.core_memory, "id", identifier)
        if not fact["is_mutable"]:
            raise Refusal(409, "immutable_core_memory", "This entry is immutable.")
        return fact

    def _lineage(self, interactions: list[str]) -> Json:
        return {
            "interactions": interactions,
            "exports": self.store.exports,
            "adapters": self.store.adapters,
            "deployments": self.store.deployments,
        }
