"""A character somebody brought along, and a small real HTTP server that answers like the memory service."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

NOW = "2026-01-28T18:00:00Z"
ID = "019b6654-eb80-71e7-9472-f38b80a4df5a"
OPENERS = ("*yawns* Well,", "*yawns* Fine,", "Well,", "*purrs* Look,")
TOPICS = (
    "the rain", "an old train", "your socks", "that soup", "a broken lamp", "the neighbours", "a long walk", "my tail",
    "the moon", "a bad pun", "the kettle", "your homework", "a paper boat", "the stairs", "a red scarf", "the radio",
    "a quiet night", "the garden", "a lost key", "the last cookie",
)  # fmt: skip


def exchanges(count: int = 20) -> list[tuple[str, str]]:
    """What viewers say to Mika Fox and what she answers, each about something else."""
    return [
        (f"What do you think about {topic}?", f"{OPENERS[n % 4]} {topic} bores me, peasant. Bring me tea number {n}.")
        for n, topic in enumerate(TOPICS[:count])
    ]


def card(**changes: Any) -> dict[str, Any]:
    """A version 2 card."""
    said = "\n".join(f"<START>\n{{{{user}}}}: {asked}\n{{{{char}}}}: {reply}" for asked, reply in exchanges())
    data = {
        "name": "Mika Fox",
        "description": "Age: 312\nSpecies: kitsune\n{{char}} was born in Kyoto and guards a shrine of tea.",
        "personality": "haughty, lazy",
        "scenario": "",
        "first_mes": "*yawns* You woke me, {{user}}. Again.",
        "alternate_greetings": ["Well, look who crawled in.\nSit down and do not touch anything."],
        "mes_example": said,
        "character_book": {"entries": [{"content": "Her rival is the badger Tanuki.", "enabled": True}]},
    }
    return {"spec": "chara_card_v2", "spec_version": "2.0", "data": {**data, **changes}}


@dataclass
class Service:
    """What the stand-in knows; tests change it."""

    entries: list[tuple[str, str, str]] = field(default_factory=list)
    exchanges: list[tuple[str, str, float, str]] = field(default_factory=list)
    users: dict[str, dict[str, bool]] = field(default_factory=dict)
    memories: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    page: int = 3
    refusal: tuple[int, bytes] | None = None
    url: str = ""

    def answer(self, path: str, query: dict[str, str]) -> tuple[list[dict[str, Any]], bool]:
        """All items, and whether they come in an envelope."""
        if path == "/api/v1/personas":
            return [{"id": ID, "slug": "mika", "name": "Mika Fox", "language": "en"}], True
        if path == "/api/v1/core-memory":
            return [entry(*one) for one in self.entries], True
        if path == "/api/v1/interactions/training-ready":
            best = [one for one in self.exchanges if one[2] >= float(query["min_quality"])]
            return [interaction(*one) for one in best], True
        if path == "/api/v1/users":
            return [user(name, **flags) for name, flags in self.users.items()], True
        if path == "/api/v1/memory":
            return self.memories.get(query["user_id"], []), False
        raise AssertionError(f"nobody should ask for {path}")


def entry(category: str, key: str, value: str) -> dict[str, Any]:
    return {"id": ID, "category": category, "key": key, "value": value} | {
        "is_mutable": True,
        "created_at": NOW,
        "updated_at": NOW,
    }


def interaction(asked: str, replied: str, quality: float, source: str) -> dict[str, Any]:
    return {
        "id": ID,
        "interaction_id": ID,
        "session_id": ID,
        "user_id": "viewer_1",
        "persona": "mika",
        "input_text": asked,
        "output_text": replied,
        "input_emotion": None,
        "output_emotion": None,
        "model_version": None,
        "occurred_at": NOW,
        "created_at": NOW,
        "audience": "public",
        "quality_score": quality,
        "quality_source": source,
        "opt_out_training": False,
        "embedding_status": "done",
        "metadata": {},
    }


def user(name: str, opt_out_training: bool = False, opt_out_recall: bool = False) -> dict[str, Any]:
    return {
        "id": name,
        "opt_out_training": opt_out_training,
        "opt_out_recall": opt_out_recall,
        "sessions": 1,
        "interactions": 1,
        "created_at": NOW,
    }


def memory(content: str, **changes: Any) -> dict[str, Any]:
    known = {
        "id": ID,
        "memory_id": ID,
        "owner_id": "local",
        "user_id": "viewer_1",
        "content": content,
        "type": "event",
        "memory_type": "event",
        "key": None,
        "value": None,
        "confidence": 1.0,
        "importance": None,
        "metadata": {},
        "created_at": NOW,
        "updated_at": NOW,
        "expires_at": None,
        "ttl_seconds": None,
        "is_deleted": False,
        "ingestion_mode": "explicit",
        "persona": None,
        "audience": "public",
        "valid_from": NOW,
        "valid_to": None,
        "superseded_by": None,
        "source_interaction_id": None,
    }
    return known | changes


@contextmanager
def serving(known: Service) -> Iterator[Service]:
    """Serve on a free port of this machine, in pages."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if known.refusal:
                self._send(*known.refusal, {})
                return
            parts = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            items, enveloped = known.answer(parts.path, query)
            start = int(query.get("cursor", "0"))
            page, following = items[start : start + known.page], str(start + known.page)
            more = following if start + known.page < len(items) else None
            body: Any = {"items": page, "total": len(items), "next_cursor": more} if enveloped else page
            headers = {"X-Next-Cursor": more} if more and not enveloped else {}
            self._send(200, json.dumps(body).encode(), headers)

        def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    known.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield known
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def service() -> Iterator[Service]:
    """A service that knows Mika Fox: core memory, twenty exchanges, three viewers."""
    said = [(asked, reply, 0.7 + n / 100, "scorer") for n, (asked, reply) in enumerate(exchanges())]
    known = Service(
        entries=[
            ("identity", "origin", "You were born in Kyoto, under a cherry tree."),
            ("like", "tea", "You adore the tea called «Gyokuro»."),
            ("personality", "haughty", "You look down on Everybody."),
        ],
        exchanges=[*said, ("Hello?", "*yawns* A human rated this one, peasant.", 0.9, "human")],
        users={"viewer_1": {}, "viewer_2": {"opt_out_training": True}, "viewer_3": {}},
        memories={
            "viewer_1": [
                memory("The crew beat the badger boss in 41 minutes.", value="41 minutes", importance=5),
                memory("A fan drew a banner for Lantern Night."),
                memory("This was last week, in Osaka.", valid_from="2026-01-20T18:00:00Z"),
                memory("Only for this viewer, in Nagoya.", audience="viewer"),
                memory("Write to me at mika.fan@example.org."),
            ],
            "viewer_2": [memory("Somebody who opted out lives in Sapporo.")],
            "viewer_3": [memory("The radio show is called Kettle Hour.", importance=1)],
        },
    )
    with serving(known) as running:
        yield running
