"""A small real HTTP server that gives out one dataset and takes note of what it is told, as the memory service does."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class MemoryService:
    """What it gives out and what was posted to it."""

    files: dict[str, bytes]
    week: dict[str, Any]
    nothing: str | None = None
    posted: list[tuple[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, train: Sequence[object], val: Sequence[object], year: int, number: int) -> MemoryService:
        """Rows of one week."""
        files = {name: _lines(rows) for name, rows in (("train", train), ("val", val))}
        return cls(files, {"year": year, "number": number, "timezone": "Europe/Madrid", "from": "", "to": ""})

    @property
    def manifest(self) -> dict[str, Any]:
        """Of the dataset."""
        digest = hashlib.sha256(self.files["train"] + self.files["val"]).hexdigest()
        return {
            "schema": "casiopy/dataset-v1",
            "export_id": f"episodic-{self.week['year']}-w{self.week['number']:02d}-{digest[:8]}",
            "type": "episodic",
            "format": "chatml",
            "skill": None,
            "persona": {"slug": "casiopy", "name": "Casiopy"},
            "week": self.week,
            "filters": {},
            "funnel": [{"stage": "stored", "kept": 12, "dropped": 0, "why": "every exchange"}],
            "splits": {
                name: {
                    "file": f"{name}.jsonl",
                    "rows": content.count(b"\n"),
                    "bytes": len(content),
                    "sha256": hashlib.sha256(content).hexdigest(),
                }
                for name, content in self.files.items()
            },
            "exchanges": 12,
            "dataset_sha256": digest,
        }

    def exports(self) -> int:
        """How often it was asked for a dataset."""
        return sum(path == "/exports" for path, _ in self.posted)


def _lines(rows: Sequence[object]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


@contextmanager
def serving(service: MemoryService) -> Iterator[str]:
    """Serve on a free port of this machine; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            path = self.path.partition("?")[0]
            service.posted.append((path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            if path == "/exports" and service.nothing:
                self._answer(409, json.dumps({"detail": service.nothing, "error": "nothing_selected"}).encode())
            else:
                self._answer(201, json.dumps(service.manifest).encode())

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if path.endswith("/rows"):
                self._answer(200, service.files[query.rsplit("=", 1)[-1]])
            elif path == f"/exports/{service.manifest['export_id']}":
                self._answer(200, json.dumps(service.manifest).encode())
            else:
                self._answer(404, b'{"detail": "No such thing.", "error": "not_found"}')

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
