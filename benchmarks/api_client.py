"""Storing conversations in a running service and asking it, through its HTTP API alone."""

import sys
import time
from collections.abc import Sequence
from typing import Any

import httpx
from conversations import Conversation, Store, Unit, units

# Far above what any machine needs for a few thousand turns; a worker that stands still should not hang the script.
_EMBED_WITHIN_SECONDS = 3600
_LOOK_EVERY_SECONDS = 0.1
# Between two looks at how many texts wait: at most, at least, and so much for each that waits (one takes 3 ms or more).
_SELDOM_SECONDS, _OFTEN_SECONDS, _SECONDS_A_TEXT = 0.25, 0.01, 0.0005
# Interactions a bulk request carries: half of what it may.
BULK = 500

Body = dict[str, Any]
Stored = dict[str, Unit]


def client(url: str) -> httpx.Client:
    """A client of the API; bulk requests take seconds on a busy machine."""
    return httpx.Client(base_url=f"{url}/api/v1", timeout=120)


def interactions(http: httpx.Client, conversation: Conversation, store: Store, user: str) -> list[tuple[Unit, Body]]:
    """Each unit and the interaction that stores it, in sessions opened for them."""
    sessions: dict[str, str] = {}
    made = []
    for unit in units(conversation, store):
        first, last = unit.turns[0], unit.turns[-1]
        if first.session not in sessions:
            opened = http.post("/sessions", json={"user_id": user, "started_at": first.when.isoformat()})
            sessions[first.session] = opened.raise_for_status().json()["id"]
        body = {
            "session_id": sessions[first.session],
            "input_text": first.text,
            "output_text": last.text if last is not first else "",
            "occurred_at": first.when.isoformat(),
            "metadata": _metadata(unit),
        }
        made.append((unit, body))
    return made


def store_one_by_one(http: httpx.Client, made: Sequence[tuple[Unit, Body]]) -> Stored:
    """A request for each interaction; returns what is stored under which id."""
    return {http.post("/interactions", json=body).raise_for_status().json()["id"]: unit for unit, body in made}


def store_in_bulk(http: httpx.Client, made: Sequence[tuple[Unit, Body]]) -> Stored:
    """A request for each BULK interactions."""
    stored: Stored = {}
    for start in range(0, len(made), BULK):
        part = made[start : start + BULK]
        answer = http.post("/interactions/bulk", json={"interactions": [body for _, body in part]})
        items = answer.raise_for_status().json()["items"]
        stored |= {item["id"]: unit for item, (unit, _) in zip(items, part, strict=True)}
    return stored


def store_memories(http: httpx.Client, conversation: Conversation, user: str) -> Stored:
    """A typed memory for each turn, holding since it was said."""
    stored: Stored = {}
    for unit in units(conversation, "memories"):
        body = {
            "user_id": user,
            "type": "event",
            "content": unit.text,
            "valid_from": unit.turns[0].when.isoformat(),
            "metadata": _metadata(unit),
        }
        stored[http.post("/memory", json=body).raise_for_status().json()["id"]] = unit
    return stored


def _metadata(unit: Unit) -> dict[str, str]:
    first = unit.turns[0]
    speaker = {"speaker": first.speaker} if len(unit.turns) == 1 else {}
    return speaker | {"session": first.session, "date": first.when.date().isoformat()}


def wait_until_embedded(http: httpx.Client) -> None:
    """Return once no interaction waits for its vector.

    The fewer wait, the sooner the next look: each takes the service some milliseconds, and the last should not come late.
    """
    deadline = time.monotonic() + _EMBED_WITHIN_SECONDS
    asked = {"embedding_status": "pending", "limit": 1}
    while waiting := http.get("/interactions", params=asked).raise_for_status().json()["total"]:
        _sleep_until(deadline, min(_SELDOM_SECONDS, max(_OFTEN_SECONDS, waiting * _SECONDS_A_TEXT)))


def wait_until_memory_embedded(http: httpx.Client, user: str, memory: str, content: str) -> None:
    """Return once this typed memory is found by its meaning: vectors are made in the order of storing, the last one last."""
    deadline = time.monotonic() + _EMBED_WITHIN_SECONDS
    body = {"user_id": user, "query": content, "limit": 100}
    while True:
        hits = http.post("/recall", json=body).raise_for_status().json()["hits"]
        if any(hit["id"] == memory and hit["explain"]["dense"] for hit in hits):
            return
        _sleep_until(deadline, _LOOK_EVERY_SECONDS)


def _sleep_until(deadline: float, seconds: float) -> None:
    if time.monotonic() > deadline:
        sys.exit(f"Texts still wait for their vectors after {_EMBED_WITHIN_SECONDS} s. See GET /health and the log.")
    time.sleep(seconds)


def ask(http: httpx.Client, user: str, question: str, limit: int) -> list[str]:
    """Ids of what POST /memory/context recalls for a question, best first."""
    body = {"user_id": user, "query": question, "limit": limit}
    answer = http.post("/memory/context", json=body).raise_for_status().json()
    if answer["note"]:
        sys.exit(f"Recall went by words alone ({answer['note']}): nothing to measure.")
    return [memory["id"] for memory in answer["memories"]]


def refuse_unless_empty(http: httpx.Client, url: str) -> None:
    """Exit where the service holds something already: it would be found too."""
    if http.get("/stats").raise_for_status().json()["interactions"]["total"]:
        sys.exit(f"{url} holds interactions already; measure an empty service.")
