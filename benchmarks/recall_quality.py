"""How well recall finds the turns that answer a question, measured through the HTTP API.

What it does: stores every turn of every conversation (one user per conversation, one session per session, one interaction
per turn), waits until all are embedded, asks every question, and compares the first memories with the turns that hold the
answer. The same questions are asked of each arm alone, over the same vectors.

How to run it:   python benchmarks/recall_quality.py PATH/conversations.json
Against a service that runs already (it must be empty):   ... --url http://127.0.0.1:8820
How to run it small:   ... --conversations 1 --questions 20

The data is read in place; results carry no text of it. Format of the file: benchmarks/README.md.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parent))
from service_under_test import ServiceUnderTest, hardware, running_service, started_service

RESULTS = Path(__file__).parent / "results"
PLACES = (5, 10, 20)
WAYS = {"both arms": None, "dense alone": ["dense"], "lexical alone": ["lexical"]}
# Far above what any machine needs for a few thousand turns; a worker that stands still should not hang the script.
EMBED_WITHIN_SECONDS = 3600


def stored_text(turn: dict[str, Any]) -> str:
    """A turn as it is stored."""
    image = f" [shares image: {turn['caption']}]" if turn.get("caption") else ""
    return f"{turn['speaker']}: {turn['text']}{image}"


def store(client: httpx.Client, conversation: dict[str, Any]) -> dict[str, str]:
    """Store a conversation turn by turn; returns each interaction's turn id."""
    sessions: dict[int, str] = {}
    turn_of: dict[str, str] = {}
    for number, turn in enumerate(conversation["turns"]):
        when = datetime.fromisoformat(turn["date"]).replace(tzinfo=UTC) + timedelta(seconds=number)
        if turn["session"] not in sessions:
            body = {"user_id": conversation["id"], "started_at": when.isoformat()}
            sessions[turn["session"]] = client.post("/sessions", json=body).raise_for_status().json()["id"]
        body = {
            "session_id": sessions[turn["session"]],
            "input_text": stored_text(turn),
            "occurred_at": when.isoformat(),
            "metadata": {"turn_id": turn["id"]},
        }
        turn_of[client.post("/interactions", json=body).raise_for_status().json()["id"]] = turn["id"]
    return turn_of


def wait_until_embedded(client: httpx.Client) -> None:
    """Return once no interaction waits for its vector."""
    deadline = time.monotonic() + EMBED_WITHIN_SECONDS
    while client.get("/stats").raise_for_status().json()["interactions"]["pending_embeddings"]:
        if time.monotonic() > deadline:
            sys.exit(f"Turns still wait for their vectors after {EMBED_WITHIN_SECONDS} s. See GET /health and the log.")
        time.sleep(0.25)


def ask(client: httpx.Client, user: str, question: str, arms: list[str] | None) -> list[str]:
    """Interactions recalled for a question, best first."""
    body: dict[str, Any] = {"user_id": user, "query": question, "limit": max(PLACES)}
    if arms is None:
        answer = client.post("/memory/context", json=body).raise_for_status().json()
        if answer["note"]:
            sys.exit(f"Recall went by words alone ({answer['note']}): nothing to measure.")
        return [memory["id"] for memory in answer["memories"]]
    answer = client.post("/recall", json=body | {"arms": arms}).raise_for_status().json()
    return [hit["id"] for hit in answer["hits"]]


def judge(found: list[str], evidence: set[str]) -> dict[str, float]:
    """The measures of one question. `found` are turn ids, best first."""
    measures: dict[str, float] = {}
    for place in PLACES:
        inside = evidence & set(found[:place])
        measures[f"recall@{place}"] = len(inside) / len(evidence)
        measures[f"any@{place}"] = float(bool(inside))
        measures[f"all@{place}"] = float(inside == evidence)
    first = next((place for place, turn in enumerate(found, 1) if turn in evidence), None)
    measures[f"mrr@{max(PLACES)}"] = 1 / first if first else 0.0
    return measures


def averaged(judged: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each measure, and the number of questions."""
    means = {name: round(sum(one[name] for one in judged) / len(judged), 4) for name in judged[0]}
    return {"questions": len(judged)} | means


def question_everything(
    client: httpx.Client, conversations: list[dict[str, Any]], turn_of: dict[str, str], most: int | None
) -> tuple[dict[str, dict[str, dict[str, float]]], dict[str, float]]:
    """Measures by way and category, and the seconds a question took, by percentile."""
    judged: dict[str, dict[str, list[dict[str, float]]]] = {way: defaultdict(list) for way in WAYS}
    seconds = []
    for conversation in conversations:
        for query in conversation["queries"][:most]:
            for way, arms in WAYS.items():
                begun = time.perf_counter()
                ids = ask(client, conversation["id"], query["question"], arms)
                if arms is None:
                    seconds.append(time.perf_counter() - begun)
                measures = judge([turn_of[one] for one in ids], set(query["evidence"]))
                judged[way]["all"].append(measures)
                judged[way][query["category"]].append(measures)
    means = {way: {name: averaged(some) for name, some in sorted(found.items())} for way, found in judged.items()}
    seconds.sort()
    return means, {f"p{share}": round(seconds[int(len(seconds) * share / 100)], 4) for share in (50, 90, 99)}


def print_table(means: dict[str, dict[str, dict[str, float]]]) -> None:
    """The means for a reader."""
    columns = ["recall@5", "recall@10", "recall@20", "any@10", "all@10", "mrr@20"]
    print(f"{'':34}{'questions':>10}" + "".join(f"{name:>11}" for name in columns))
    for way, found in means.items():
        for category, mean in found.items():
            cells = "".join(f"{mean[name]:>11.3f}" for name in columns)
            print(f"{way:16}{category:18}{int(mean['questions']):>10}{cells}")


@contextmanager
def service(url: str | None) -> Iterator[ServiceUnderTest]:
    """The service at `url`, or one of our own with an empty database."""
    if url is None:
        with started_service() as own:
            yield own
    else:
        yield running_service(url)


def measure(asked: argparse.Namespace, under_test: ServiceUnderTest) -> dict[str, Any]:
    """Everything the result file says."""
    data = json.loads(asked.data.read_text(encoding="utf-8"))
    conversations = data["conversations"][: asked.conversations]
    with httpx.Client(base_url=f"{under_test.url}/api/v1", timeout=60) as client:
        if client.get("/stats").raise_for_status().json()["interactions"]["total"]:
            sys.exit(f"{under_test.url} holds interactions already; measure an empty service.")
        health = client.get("/health").raise_for_status().json()["checks"]
        begun = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            turn_of = {
                key: turn
                for part in pool.map(lambda one: store(client, one), conversations)
                for key, turn in part.items()
            }
        stored = time.monotonic() - begun
        wait_until_embedded(client)
        embedded = time.monotonic() - begun
        print(f"{len(turn_of)} turns stored in {stored:.1f} s, embedded after {embedded:.1f} s", flush=True)
        means, latency = question_everything(client, conversations, turn_of, asked.questions)
    print_table(means)
    return {
        "benchmark": "recall_quality",
        "data": {"name": data.get("dataset", asked.data.stem), "commit": data.get("commit")},
        "conversations": len(conversations),
        "embedding_model": {key: health["embedder"].get(key) for key in ("model", "dimension", "detail")},
        "turns": len(turn_of),
        "stored_per_second": round(len(turn_of) / stored, 1),
        "embedded_per_second": round(len(turn_of) / embedded, 1),
        "question_seconds": latency,
        "peak_memory_mib": under_test.peak_memory_mib(),
        "results": means,
    }  # fmt: skip


def main() -> None:
    """Measure, print, and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the conversations (JSON)")
    parser.add_argument("--url", help="a running, empty service; default: one of our own")
    parser.add_argument("--conversations", type=int, help="only the first so many")
    parser.add_argument("--questions", type=int, help="only the first so many of each conversation")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the result file")
    asked = parser.parse_args()
    if not asked.data.is_file():
        parser.error(f"there is no file {asked.data}")
    with service(asked.url) as under_test:
        result = measure(asked, under_test)
    machine = hardware()
    result = {"date": datetime.now(UTC).isoformat(timespec="seconds")} | machine | result
    asked.results.mkdir(parents=True, exist_ok=True)
    path = asked.results / f"{result['date'][:10]}-recall-{machine['commit']}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"Kept in {path}")
    print(
        json.dumps(
            {key: value for key, value in result.items() if key != "results"}
            | {"all": result["results"]["both arms"]["all"]}
        )
    )


if __name__ == "__main__":
    main()
