"""How well recall finds the turns that answer a question, measured through the HTTP API and beside plain baselines.

What it does, for each data file: starts a service with an empty database, stores every turn, waits until all are embedded,
asks every question, and compares the first twenty memories with the turns that hold the answer. BM25, dense vectors of the
same model and their fusion by reciprocal ranks are asked the same questions over the same stored texts.

How to run it:   python benchmarks/recall_quality.py PATH/conversations.json [MORE.json ...]
Against a service that runs already (it must be empty):   ... --url http://127.0.0.1:8820
How to run it small:   ... --conversations 1 --questions 20

The data is read in place; results carry no text of it. Format of the file and meaning of the figures: benchmarks/README.md.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import api_client
from conversations import BadData, Conversation, Conversations, Store, categories, read, units
from quality_table import print_gains, print_table
from ranking_measures import PLACES, Sample, by_category, judge
from recall_baselines import NAMES, baselines
from service_under_test import ServiceUnderTest, hardware, running_service, started_service

RESULTS = Path(__file__).parent / "results"
OURS = "Casiopy"
LIMIT = max(PLACES)
EVERYBODY = "everybody"

Key = tuple[str, str]
UserOf = Callable[[Conversation], str]


def store_everything(http: httpx.Client, data: Conversations, store: Store, user_of: UserOf) -> api_client.Stored:
    """Store all conversations, four at a time; returns which unit is stored under which id, once all have vectors."""

    def one(conversation: Conversation) -> api_client.Stored:
        if store == "memories":
            return api_client.store_memories(http, conversation, user_of(conversation))
        made = api_client.interactions(http, conversation, store, user_of(conversation))
        return api_client.store_in_bulk(http, made)

    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(one, data.conversations))
    if store != "memories":
        api_client.wait_until_embedded(http)
    else:
        for conversation, part in zip(data.conversations, parts, strict=True):
            last, unit = next(reversed(part.items()))
            api_client.wait_until_memory_embedded(http, user_of(conversation), last, unit.text)
    return {key: unit for part in parts for key, unit in part.items()}


def ask_everything(
    http: httpx.Client, data: Conversations, stored: api_client.Stored, user_of: UserOf
) -> tuple[list[list[Key]], list[float]]:
    """The turns recalled for each question, best first, and the seconds each answer took."""
    rankings, seconds = [], []
    for conversation in data.conversations:
        user = user_of(conversation)
        for query in conversation.queries:
            begun = time.perf_counter()
            ids = api_client.ask(http, user, query.question, LIMIT)
            seconds.append(time.perf_counter() - begun)
            if unknown := set(ids) - set(stored):
                sys.exit(f"Recall gave {unknown}, which this run did not store: measure an empty service.")
            rankings.append([key for one in ids for key in stored[one].keys])
    return rankings, seconds


def ask_baselines(data: Conversations, store: Store, *, shared: bool, model: str | None) -> dict[str, list[list[Key]]]:
    """The same of each baseline, over the same stored texts: a conversation's own, or everybody's."""
    from embedding import embedders

    embed_texts, embed_questions = embedders(model)
    rankings: dict[str, list[list[Key]]] = {name: [] for name in NAMES}
    groups = [data.conversations] if shared else [(one,) for one in data.conversations]
    for group in groups:
        kept = [unit for conversation in group for unit in units(conversation, store)]
        rank = baselines([unit.text for unit in kept], data.languages, embed_texts, embed_questions)
        for conversation in group:
            for query in conversation.queries:
                for name, ranking in rank(query.question).items():
                    rankings[name].append([key for one in ranking[:LIMIT] for key in kept[one].keys])
    return rankings


def sample(data: Conversations, rankings: Sequence[Sequence[Key]]) -> Sample:
    """The questions judged."""
    queries = [query for one in data.conversations for query in one.queries]
    judged = [judge(ranking, query.evidence) for ranking, query in zip(rankings, queries, strict=True)]
    names = [one.id for one in data.conversations for _ in one.queries]
    return Sample.of(judged, names, categories(data.conversations))


@contextmanager
def service(url: str | None) -> Iterator[ServiceUnderTest]:
    """The service at `url`, or one of our own with an empty database."""
    if url is None:
        with started_service() as own:
            yield own
    else:
        yield running_service(url)


def measure(data: Conversations, asked: argparse.Namespace) -> dict[str, Any]:
    """Everything the result file says of one data file, printed as tables on the way."""

    def user_of(conversation: Conversation) -> str:
        return EVERYBODY if asked.shared_user else conversation.id

    with service(asked.url) as under_test, api_client.client(under_test.url) as http:
        api_client.refuse_unless_empty(http, under_test.url)
        embedder = http.get("/health").raise_for_status().json()["checks"]["embedder"]
        begun = time.monotonic()
        stored = store_everything(http, data, asked.store, user_of)
        searchable = time.monotonic() - begun
        print(f"{data.name}: {len(stored)} {asked.store} searchable after {searchable:.1f} s", flush=True)
        ours, seconds = ask_everything(http, data, stored, user_of)
        memory = under_test.peak_memory_mib()
    theirs = ask_baselines(data, asked.store, shared=asked.shared_user, model=embedder.get("model"))
    samples = {way: sample(data, rankings) for way, rankings in ({OURS: ours} | theirs).items()}
    results = {way: by_category(one) for way, one in samples.items()}
    print_table(results)
    gains = print_gains(results, {way: samples[OURS].minus(samples[way]) for way in NAMES})
    milliseconds = latency(seconds)
    shown = ", ".join(f"{name} {value:.1f} ms" for name, value in milliseconds.items())
    print(f"\nA question took {shown}; start {under_test.start_seconds} s; memory {memory} MiB\n", flush=True)
    return {
        "data": {"name": data.name, "commit": data.commit, "languages": data.languages},
        "conversations": len(data.conversations),
        "stored": len(stored),
        "searchable_after_seconds": round(searchable, 1),
        "embedding_model": {key: embedder.get(key) for key in ("model", "dimension", "detail")},
        "question_ms": milliseconds,
        "start_seconds": under_test.start_seconds,
        "peak_memory_mib": memory,
        "results": results,
        "gain": gains,
    }


def latency(seconds: Sequence[float]) -> dict[str, float]:
    """Mean and percentiles in milliseconds."""
    milliseconds = 1000 * np.array(seconds)
    middle, tail = np.percentile(milliseconds, (50, 99))
    return {"mean": round(float(milliseconds.mean()), 2), "p50": round(float(middle), 2), "p99": round(float(tail), 2)}


def arguments() -> argparse.Namespace:
    """What the command line asks for, its data files read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="conversations (JSON); each file is measured apart")
    stores = "a turn as an exchange (default), two turns as the two sides of one, a turn as a typed memory"
    parser.add_argument("--store", choices=get_args(Store), default="interactions", help=stores)
    parser.add_argument("--shared-user", action="store_true", help="all conversations of a file under one user")
    parser.add_argument("--url", help="a running, empty service; default: one of our own for each file")
    parser.add_argument("--conversations", type=int, help="only the first so many of each file")
    parser.add_argument("--questions", type=int, help="only the first so many of each conversation")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the result file")
    asked = parser.parse_args()
    if asked.url and len(asked.data) > 1:
        parser.error("a running service can be measured with one file: the next one would find what the first stored")
    try:
        asked.files = [read(path, conversations=asked.conversations, questions=asked.questions) for path in asked.data]
    except BadData as wrong:
        parser.error(str(wrong))
    return asked


def main() -> None:
    """Measure each file, print, and keep the result."""
    asked = arguments()
    kept = {"date": datetime.now(UTC).isoformat(timespec="seconds")} | hardware() | {
        "benchmark": "recall_quality", "store": asked.store, "shared_user": asked.shared_user,
    }  # fmt: skip
    kept["files"] = [measure(one, asked) for one in asked.files]
    asked.results.mkdir(parents=True, exist_ok=True)
    kind = "" if asked.store == "interactions" else f"-{asked.store}"
    shared = "-shared-user" if asked.shared_user else ""
    path = asked.results / f"{kept['date'][:10]}-recall{kind}{shared}-{kept['commit']}.json"
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(f"Kept in {path}")
    print(json.dumps(kept | {"files": [in_short(one) for one in kept["files"]]}))


def in_short(file: dict[str, Any]) -> dict[str, Any]:
    """A file's result with the averages over all questions alone."""
    means = {
        way: {name: told["mean"] for name, told in found["all"].items() if name != "questions"}
        for way, found in file["results"].items()
    }
    return file | {"results": means, "gain": {"best_baseline": file["gain"]["best_baseline"]} | file["gain"]["all"]}


if __name__ == "__main__":
    main()
