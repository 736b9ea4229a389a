"""A small real HTTP server that answers like the memory service, and misbehaves on request."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ROW = {
    "messages": [
        {"role": "system", "content": "Eres Casiopy."},
        {"role": "user", "content": "¿Qué tal?"},
        {"role": "assistant", "content": "*suspiro* Aquí, mortal."},
    ],
    "metadata": {"session_id": "s1", "interaction_ids": ["i1"], "viewer": "viewer_1"},
}
TRAIN = (json.dumps(ROW, ensure_ascii=False) + "\n").encode() * 3
VAL = (json.dumps(ROW, ensure_ascii=False) + "\n").encode()


def manifest(train: bytes = TRAIN, val: bytes = VAL, week: int | None = None) -> dict[str, Any]:
    """The manifest of a dataset with these bytes."""
    whole = hashlib.sha256(train + val).hexdigest()
    name = "personality" if week is None else f"episodic-2026-w{week:02d}"
    return {
        "schema": "casiopy/dataset-v1",
        "export_id": f"{name}-{whole[:8]}",
        "type": "personality" if week is None else "episodic",
        "format": "chatml",
        "persona": {"slug": "casiopy", "name": "Casiopy"},
        "created_at": "2026-02-01T12:00:00Z",
        "week": week and {"year": 2026, "number": week, "timezone": "Europe/Madrid", "from": "", "to": ""},
        "filters": {"min_quality": 0.6, "val_share": 0.1, "seed": 7, "max_turns": 6},
        "funnel": [
            {"stage": "stored", "kept": 10, "dropped": 0, "why": "every exchange"},
            {"stage": "quality", "kept": 4, "dropped": 6, "why": "quality below 0.6"},
        ],
        "splits": {
            name: {
                "file": f"{name}.jsonl",
                "rows": content.count(b"\n"),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            for name, content in (("train", train), ("val", val))
        },
        "rows": [{"interaction_id": f"i{n}"} for n in range(4)],
        "redacted": {"email": 2},
        "dataset_sha256": whole,
    }


@dataclass
class Behaviour:
    """What the stand-in answers; tests change it."""

    manifest: dict[str, Any] = field(default_factory=manifest)
    files: dict[str, bytes] = field(default_factory=lambda: {"train": TRAIN, "val": VAL})
    refusal: tuple[int, bytes] | None = None
    cut_off: bool = False
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)


@contextmanager
def stand_in(behaviour: Behaviour) -> Iterator[str]:
    """Serve on a free port of this machine; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            behaviour.asked.append(json.loads(body))
            behaviour.keys.append(self.headers.get("Authorization"))
            status, answer = behaviour.refusal or (201, json.dumps(behaviour.manifest).encode())
            self._answer(status, answer)

        def do_GET(self) -> None:
            behaviour.fetched.append(self.path)
            content = behaviour.files[self.path.rsplit("=", 1)[-1]]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if behaviour.cut_off else content)

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
