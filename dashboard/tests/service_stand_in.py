"""A stand-in memory service: a real threaded HTTP server that speaks the documented contract, and can misbehave."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

ATTACK = '<script>document.title="hacked"</script><img src=x onerror="document.title=\'hacked\'">'
Json = dict[str, Any]


def entry(number: int, category: str, key: str, value: str, is_mutable: bool) -> Json:
    stamp = "2026-01-05T10:00:00Z"
    return {
        "id": f"core-{number}",
        "category": category,
        "key": key,
        "value": value,
        "is_mutable": is_mutable,
        "created_at": stamp,
        "updated_at": stamp,
    }


def interaction(number: int, user: str, said: str, reply: str, score: float, dropped: bool = False) -> Json:
    drops = [{"rule": "assistant_tone", "why": "«¿en qué puedo ayudarte?» suena a asistente"}] if dropped else []
    signals = [
        {"name": "persona_style", "value": score, "weight": 0.4, "why": "un marcador: *suspiro*"},
        {"name": "completeness", "value": min(score + 0.1, 1.0), "weight": 0.2, "why": "frase entera"},
    ]
    return {
        "id": f"int-{number}",
        "interaction_id": f"int-{number}",
        "session_id": f"ses-{number // 3}",
        "user_id": user,
        "persona": "casiopy",
        "input_text": said,
        "output_text": reply,
        "input_emotion": "neutral",
        "output_emotion": "sarcastic",
        "model_version": "casiopy:week04",
        "occurred_at": f"2026-01-{20 - number % 15:02d}T20:{number % 60:02d}:00Z",
        "created_at": f"2026-01-{20 - number % 15:02d}T20:{number % 60:02d}:01Z",
        "quality_score": score,
        "quality_source": "scorer",
        "quality": {"score": score, "drops": drops, "signals": signals, "scorer_version": "1"},
        "opt_out_training": False,
        "embedding_status": "pending" if number % 7 == 3 else "done",
        "metadata": {},
    }


@dataclass
class Store:
    """What the stand-in knows; empty unless filled."""

    core_memory: list[Json] = field(default_factory=list)
    interactions: list[Json] = field(default_factory=list)
    feedback: list[Json] = field(default_factory=list)
    topics: list[Json] = field(default_factory=list)
    exports: list[Json] = field(default_factory=list)
    adapters: list[Json] = field(default_factory=list)
    deployments: list[Json] = field(default_factory=list)
    refreshed: int = 0
    headers: list[dict[str, str]] = field(default_factory=list)

    @classmethod
    def full(cls, exports: list[Json] | None = None, adapters: list[Json] | None = None) -> Store:
        """A month in small: immutable and mutable facts, good and bad replies, one attack."""
        talk = [
            (
                "marta_91",
                "¿Qué te parece mi código en Rust?",
                "*suspiro* Compila, mortal. Hasta aquí los milagros.",
                0.91,
            ),
            ("elpixelado", "¡Hola Casiopy!", "Ay, otro lunes que me arruinas. *bosteza*", 0.78),
            ("marta_91", "¿Pizza con piña hoy?", "*pone los ojos en blanco* Antes me reinicio.", 0.83),
            ("nube", ATTACK, "Mira, criatura, esos trucos ya no se llevan.", 0.66),
            ("elpixelado", "¿Sabes cocinar?", "¿En qué puedo ayudarte hoy?", 0.12),
        ]
        rows = [interaction(n, *talk[n % 5][:3], score=talk[n % 5][3], dropped=talk[n % 5][3] < 0.2) for n in range(60)]
        facts = [
            entry(1, "identity", "name", "Casiopy", False),
            entry(2, "identity", "creator", "La creó Ana, a la que llama «la jefa».", False),
            entry(3, "like", "language_rust", "Rust es fascinante, sobre todo cuando otros sufren con él.", True),
            entry(4, "dislike", "pizza", "La piña en la pizza es un crimen sin resolver.", True),
        ]
        topic = {
            "id": "t1",
            "label": "Rust y compiladores",
            "keywords": ["rust", "código", "compila"],
            "interactions": 12,
            "examples": ["¿Qué te parece mi código en Rust?"],
        }
        adapters = adapters or []
        place = {"host": "http://127.0.0.1:11434", "live": True, "deployed_at": "2026-01-26T13:30:00Z"}
        deployed = [{"tag": "casiopy:week04", "adapter_id": made["adapter_id"], **place} for made in adapters[-1:]]
        return cls(facts, rows, [], [topic], exports or [], adapters, deployed)


@dataclass
class StandIn:
    """A running stand-in."""

    url: str
    store: Store
    mode: str = "well"
    """well, slow, garbage, hostile (JSON of the wrong shape) or refusing (401)."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    stand_in: StandIn


@contextmanager
def stand_in_service(store: Store) -> Iterator[StandIn]:
    """Serve on a free loopback port."""
    server = _Server(("127.0.0.1", 0), _Contract)
    server.stand_in = StandIn(f"http://127.0.0.1:{server.server_port}", store)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.stand_in
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Refusal(Exception):
    """An answer with the contract's error body."""

    def __init__(self, status: int, error: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.body = status, {"detail": detail, "error": error}


class _Contract(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server
    posts: ClassVar[dict[str, Callable[[_Contract, Json], tuple[int, Any]]]] = {}

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
            time.sleep(1.0)
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
                return 200, _health(self.store)
            case ["stats"]:
                return 200, _stats(self.store)
            case ["core-memory", "system-prompt", "generate"]:
                prompt = "\n".join(fact["value"] for fact in self.store.core_memory)
                digest = hashlib.sha256(prompt.encode()).hexdigest()
                return 200, {"system_prompt": prompt, "persona": "casiopy", "entries": 4, "sha256": digest}
            case ["core-memory"]:
                return 200, _page(self.store.core_memory, query)
            case ["interactions"]:
                return 200, _page(_filtered(self.store.interactions, query), query)
            case ["interactions", identifier]:
                return 200, _find(self.store.interactions, "id", identifier)
            case ["interactions", identifier, "feedback"]:
                said = [row for row in self.store.feedback if row["interaction_id"] == identifier]
                return 200, _page(said, query)
            case ["sessions"]:
                return 200, _page(_sessions(self.store), query)
            case ["topics"]:
                note = None if self.store.topics else "Topics need 20 embedded interactions; casiopy has 0."
                return 200, {**_page(self.store.topics, query), "note": note}
            case ["exports"]:
                return 200, _page(self.store.exports, query)
            case ["exports", identifier]:
                return 200, _find(self.store.exports, "export_id", identifier)
            case ["exports", identifier, "rows"]:
                _find(self.store.exports, "export_id", identifier)
                row = {"messages": [{"role": "user", "content": "desde el servicio"}], "metadata": {}}
                return 200, json.dumps(row).encode() + b"\n"
            case ["adapters"]:
                return 200, _page(self.store.adapters, query)
            case ["deployments"]:
                return 200, _page(self.store.deployments, query)
            case ["lineage", "interaction", identifier]:
                _find(self.store.interactions, "id", identifier)
                return 200, self._lineage([identifier])
            case ["lineage", "adapter", identifier]:
                _find(self.store.adapters, "adapter_id", identifier)
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
                _find(self.store.interactions, "id", identifier)
                if not 1 <= body["rating"] <= 5:
                    raise Refusal(400, "bad_input", "rating: send a whole number from 1 to 5.")
                self.store.feedback.append({**body, "interaction_id": identifier, "created_at": "2026-01-21T10:00:00Z"})
                return 201, self.store.feedback[-1]
            case ["memory", "context"]:
                return 200, _recollection(self.store, body)
            case ["topics", "refresh"]:
                self.store.refreshed += 1
                return 202, {"status": "queued"}
        raise Refusal(404, "not_found", "No such address.")

    def _put(self, path: list[str], _query: dict[str, str], body: Json) -> tuple[int, Any]:
        if path[0] == "core-memory":
            fact = self._mutable(path[1])
            fact["value"] = body["value"]
            return 200, fact
        row = _find(self.store.interactions, "id", path[1])
        row["quality_score"], row["quality_source"] = body["quality_score"], "human"
        return 200, row

    def _delete(self, path: list[str], _query: dict[str, str], _body: Json) -> tuple[int, Any]:
        self.store.core_memory.remove(self._mutable(path[1]))
        return 200, {}

    def _mutable(self, identifier: str) -> Json:
        fact = _find(self.store.core_memory, "id", identifier)
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


def _find(rows: list[Json], name: str, identifier: str) -> Json:
    for row in rows:
        if row[name] == identifier:
            return row
    raise Refusal(404, "not_found", f"There is no {identifier}.")


def _page(rows: list[Json], query: dict[str, str]) -> Json:
    start, limit = int(query.get("cursor", 0)), int(query.get("limit", 50))
    if not 1 <= limit <= 500:
        raise Refusal(400, "bad_input", "limit: 1 to 500.")
    more = start + limit < len(rows)
    return {
        "items": rows[start : start + limit],
        "total": len(rows),
        "next_cursor": str(start + limit) if more else None,
    }


def _filtered(rows: list[Json], query: dict[str, str]) -> list[Json]:
    low, high = float(query.get("min_quality", 0)), float(query.get("max_quality", 1))
    wanted = {name: query[name] for name in ("user_id", "session_id") if name in query}
    kept = [row for row in rows if low <= row["quality_score"] <= high]
    kept = [row for row in kept if all(row[name] == value for name, value in wanted.items())]
    if "dropped" in query:
        kept = [row for row in kept if bool(row["quality"]["drops"]) == (query["dropped"] == "true")]
    return kept


def _sessions(store: Store) -> list[Json]:
    return [{"id": row["session_id"], "user_id": row["user_id"]} for row in store.interactions[:20]]


def _health(store: Store) -> Json:
    fine = {"status": "ok", "detail": ""}
    embedder = {"status": "loading" if not store.interactions else "ok", "model": "all-MiniLM-L6-v2", "dimension": 384}
    names = ("database", "pgvector", "schema", "worker", "core_memory")
    return {"status": "ok", "version": "0.1.0", "checks": {**dict.fromkeys(names, fine), "embedder": embedder}}


def _stats(store: Store) -> Json:
    rows = store.interactions
    days: dict[str, int] = {}
    for row in rows:
        days[row["occurred_at"][:10]] = days.get(row["occurred_at"][:10], 0) + 1
    bins = [
        {"from": n / 10, "to": (n + 1) / 10, "count": sum(n <= row["quality_score"] * 10 < n + 1 for row in rows)}
        for n in range(10)
    ]
    dropped = sum(bool(row["quality"]["drops"]) for row in rows)
    pending = sum(row["embedding_status"] == "pending" for row in rows)
    return {
        "persona": "casiopy",
        "core_memory": {
            "total": len(store.core_memory),
            "immutable": sum(not fact["is_mutable"] for fact in store.core_memory),
        },
        "sessions": {"total": len(rows) // 3, "open": 1 if rows else 0, "opted_out": 0},
        "interactions": {
            "total": len(rows),
            "pending_embeddings": pending,
            "dropped": dropped,
            "training_ready": len(rows) - dropped,
            "by_day": [{"day": day, "count": count} for day, count in sorted(days.items())],
            "quality_histogram": bins,
        },
        "users": len({row["user_id"] for row in rows}),
        "feedback": {"total": len(store.feedback), "mean_rating": 4.5 if store.feedback else None},
        "topics": len(store.topics),
        "exports": len(store.exports),
        "adapters": len(store.adapters),
        "deployments": len(store.deployments),
    }


def _recollection(store: Store, body: Json) -> Json:
    mine = [row for row in store.interactions if row["user_id"] == body["user_id"]][: body["limit"]]
    memories = [
        {
            "id": row["id"],
            "source": "interaction",
            "content": f"{row['input_text']} → {row['output_text']}",
            "memory_type": "event",
            "created_at": row["occurred_at"],
            "relevance_score": round(0.03 - place / 1000, 4),
            "session_id": row["session_id"],
            "explain": {
                "dense": {"rank": place + 1, "score": 0.71},
                "lexical": {"rank": 2, "score": 3.4} if place == 0 else None,
                "fused": round(0.03 - place / 1000, 4),
                "reason": "Se parece por el significado.",
            },
        }
        for place, row in enumerate(mine)
    ]
    summary = "\n".join(f"- {row['occurred_at'][:10]}: {row['input_text']}" for row in mine)
    return {"memories": memories, "context_summary": summary}
