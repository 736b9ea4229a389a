"""How fast turns become searchable, beside mem0 storing the same turns without a language model, in one run.

What it does: stores the same turns, slice by slice and by turns, in three ways: in a service of its own one request a turn, in
the same service by the bulk route, and in mem0 (`infer=False`, the same embedding model, pgvector on an embedded PostgreSQL
of its own with the same settings). Ours count as stored once none is pending. Sessions are opened within our time.

How to run it:         python benchmarks/ingestion_peer.py PATH/conversations.json
How to run it small:   ... --turns 200 --slice 100

mem0 gets a virtual environment of its own under ~/.cache/casiopy; where it cannot be installed, ours is measured alone and
the run says what is missing. Format of the file: benchmarks/README.md.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parent))
import api_client
from conversations import BadData, Conversation, Turn, read
from peers import mem0_peer as mem0
from service_under_test import hardware, open_folder, started_service

RESULTS = Path(__file__).parent / "results"
SINGLE, BULK = "one request a turn", "bulk requests"
# What the product promises of either way.
TARGET = 5.0

Ingest = Callable[[int, int], float]


def ours(http: httpx.Client, conversation: Conversation, store: Callable[..., object], name: str) -> Ingest:
    """Stores a slice of the conversation's turns under a user called `name`; returns the seconds until all have vectors."""
    turns = conversation.turns

    def ingest(first: int, last: int) -> float:
        part = Conversation(conversation.id, turns[first:last], ())
        begun = time.perf_counter()
        store(http, api_client.interactions(http, part, "interactions", name))
        api_client.wait_until_embedded(http)
        return time.perf_counter() - begun

    return ingest


def peer_or_none(turns: Sequence[Turn], stack: ExitStack) -> mem0.Mem0 | None:
    """mem0 ready for these turns, or None after saying why not."""
    told = [
        {"user": turn.key[0], "text": turn.text, "metadata": {"speaker": turn.speaker, "session": turn.session}}
        for turn in turns
    ]
    try:
        return stack.enter_context(mem0.started(told, stack.enter_context(open_folder())))
    except mem0.PeerMissing as missing:
        print(f"{mem0.NAME} is left out: {missing}", flush=True)
        return None


def by_turns(ways: dict[str, Ingest], turns: int, size: int) -> dict[str, list[float]]:
    """Seconds of each slice by way; each slice begins with another way, so that a busy moment falls on all."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for number, first in enumerate(range(0, turns, size)):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            seconds[name].append(ways[name](first, min(first + size, turns)))
    return seconds


def measure(turns: Sequence[Turn], size: int) -> dict[str, Any]:
    """Turns a second of each way, and what ours are times the peer's."""
    talk = Conversation("all", tuple(turns), ())
    with ExitStack() as stack:
        service = stack.enter_context(started_service())
        http = stack.enter_context(api_client.client(service.url))
        peer = peer_or_none(turns, stack)
        ways = {
            SINGLE: ours(http, talk, api_client.store_one_by_one, "single"),
            BULK: ours(http, talk, api_client.store_in_bulk, "bulk"),
        } | ({mem0.NAME: peer.ingest} if peer else {})
        ways[SINGLE](0, 1)  # the model is loaded; the first call of everything is not the peer's either
        seconds = by_turns(ways, len(turns), size)
        memory = service.peak_memory_mib()
    speed = {name: round(len(turns) / sum(taken), 1) for name, taken in seconds.items()}
    ratios = {}
    if peer:
        for name in (SINGLE, BULK):
            slices = [theirs / mine for theirs, mine in zip(seconds[mem0.NAME], seconds[name], strict=True)]
            ratios[name] = {
                "ratio": round(speed[name] / speed[mem0.NAME], 2),
                "median_of_slices": round(statistics.median(slices), 2),
            }
    return {"turns": len(turns), "turns_a_slice": size, "turns_per_second": speed, "times_the_peer": ratios,
            "peak_memory_mib": memory}  # fmt: skip


def print_table(measured: dict[str, Any]) -> None:
    """For a reader."""
    print(f"{'':24}{'turns/s':>10}{'times ' + mem0.NAME:>20}{'median slice':>14}")
    for name, speed in measured["turns_per_second"].items():
        ratio = measured["times_the_peer"].get(name)
        shown = f"{ratio['ratio']:>20.2f}{ratio['median_of_slices']:>14.2f}" if ratio else ""
        print(f"{name:24}{speed:>10.1f}{shown}")
    if measured["times_the_peer"]:
        print(f"Target: {TARGET:g} times the peer.")


def main() -> None:
    """Measure, print, and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="conversations (JSON)")
    parser.add_argument("--turns", type=int, help="only the first so many (default: all)")
    parser.add_argument("--slice", type=int, default=800, help="turns each way stores before the next (default 800)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the result file")
    asked = parser.parse_args()
    try:
        turns = [turn for one in read(asked.data).conversations for turn in one.turns][: asked.turns]
    except BadData as wrong:
        parser.error(str(wrong))
    kept = {"date": datetime.now(UTC).isoformat(timespec="seconds")} | hardware() | {"benchmark": "ingestion_peer"}
    measured = measure(turns, asked.slice)
    print_table(measured)
    kept |= measured
    asked.results.mkdir(parents=True, exist_ok=True)
    path = asked.results / f"{kept['date'][:10]}-ingestion-{kept['commit']}.json"
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(f"Kept in {path}")
    print(json.dumps(kept))


if __name__ == "__main__":
    main()
