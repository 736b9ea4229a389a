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


def manifest(
    train: bytes = TRAIN, val: bytes = VAL, week: int | None = None, kind: str | None = None, form: str = "chatml"
) -> dict[str, Any]:
    """The manifest of a dataset with these bytes, without its rows."""
    whole = hashlib.sha256(train + val).hexdigest()
    name = (kind or "personality") if week is None else f"episodic-2026-w{week:02d}"
    return {
        "schema": "casiopy/dataset-v1",
        "export_id": f"{name}-{whole[:8]}",
        "type": name.split("-")[0],
        "format": form,
        "skill": "Metroid" if name.startswith("skill") else None,
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
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            for name, content in (("train", train), ("val", val))
        },
        "exchanges": 4,
        "redacted": {"email": 2},
        "lengths": {"before": {"p50": 62}, "after": {"p50": 58}, "shift": 0.031},
        "dataset_sha256": whole,
    }


@dataclass
class Behaviour:
    """What the stand-in answers; tests change it."""

    manifest: dict[str, Any] = field(default_factory=manifest)
    files: dict[str, bytes] = field(default_factory=lambda: {"train": TRAIN, "val": VAL})
    refusal: tuple[int, bytes] | None = None
    cuts: int = 0
    gone: bool = False
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    fetched: list[tuple[str, str | None]] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)

    @property
    def whole_manifest(self) -> bytes:
        """The manifest with its rows, as it is handed out."""
        return json.dumps(self.manifest | {"rows": [{"interaction_id": f"i{n}"} for n in range(4)]}).encode()


@contextmanager
def stand_in(behaviour: Behaviour) -> Iterator[str]:
    """Serve on a free port of this machine; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            behaviour.asked.append(json.loads(body))
            behaviour.queries.append(self.path.partition("?")[2])
            behaviour.keys.append(self.headers.get("Authorization"))
            status, answer = behaviour.refusal or (201, json.dumps(behaviour.manifest).encode())
            self._answer(status, answer)

        def do_GET(self) -> None:
            if not self.path.split("?")[0].endswith("/rows"):
                self._answer(200, behaviour.whole_manifest)
                return
            split = self.path.rsplit("=", 1)[-1]
            behaviour.fetched.append((split, self.headers.get("Range")))
            if behaviour.gone:
                self._answer(
                    409, b'{"detail": "It is not given out any more: 1 were erased.", "error": "dataset_changed"}'
                )
                return
            content = behaviour.files[split]
            tag = f'"{hashlib.sha256(content).hexdigest()}"'
            start = 0
            if self.headers.get("Range") and self.headers.get("If-Range") == tag:
                start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            behaviour.cuts -= (cut := behaviour.cuts > 0)
            rest = content[start:]
            self.wfile.write(rest[: len(rest) // 2] if cut else rest)

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
