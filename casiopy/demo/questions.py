"""What the memory knows: how it scored the month, and what it recalls when asked."""

import json
import time
from pathlib import Path
from typing import Any

import httpx
from rich.markup import escape

from casiopy.demo.page import bar, title
from casiopy.demo.sample import SampleExchange
from casiopy.stack import Stack

_QUESTIONS = Path(__file__).with_name("recall_questions.json")
_SHOWN = 5
# Clustering the month takes about 2 s on one core.
_TOPICS_SECONDS = 30.0


def _questions() -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(_QUESTIONS.read_text(encoding="utf-8"))
    return found


def _ask(client: httpx.Client, question: dict[str, str], limit: int = 3) -> tuple[list[dict[str, Any]], float]:
    """The memories recalled for `question`, and the seconds it took."""
    begun = time.perf_counter()
    body = {"user_id": question["user_id"], "query": question["query"], "limit": limit}
    answer = client.post("/api/v1/memory/context", json=body).raise_for_status().json()
    return answer["memories"], time.perf_counter() - begun


def first_memory(stack: Stack, client: httpx.Client) -> None:
    """Ask the first question at once, while the month is still coming in."""
    question = _questions()[0]
    memories, _ = _ask(client, question, 1)
    if memories:
        seconds = time.monotonic() - stack.begun
        stack.console.print(f"  First recalled memory after {seconds:.0f} s, asked «{escape(question['query'])}»:")
        stack.console.print(f"      [italic]{escape(_one_line(memories[0]['content'], 110))}[/]")


def show_scores(stack: Stack, client: httpx.Client, sample: list[SampleExchange]) -> None:
    """The distribution of scores, and how well they separate what a human would keep."""
    title(stack, "2 · Score: what is worth learning from")
    stats = client.get("/stats").raise_for_status().json()["interactions"]
    bins = stats["quality_histogram"]
    largest = max(part["count"] for part in bins)
    for part in bins:
        colour = "green" if part["from"] >= 0.6 else "yellow" if part["from"] >= 0.3 else "red"
        blocks = bar(part["count"], largest)
        stack.console.print(f"  {part['from']:.1f}-{part['to']:.1f} [{colour}]{blocks}[/] {part['count']}")
    area = separation(client, sample)
    stack.console.print(
        f"  {stats['dropped']} of {stats['total']} were dropped by a rule. A kept exchange outscores a rejected one "
        f"in {100 * area:.1f} % of pairs (AUC against the sample's labels)."
    )


def separation(client: httpx.Client, sample: list[SampleExchange]) -> float:
    """Area under the ROC curve of the stored scores against the sample's human labels, 0 to 1."""
    scores: dict[tuple[str, str], float] = {}
    cursor: str | None = None
    while True:
        parameters = {"limit": "500"} | ({"cursor": cursor} if cursor else {})
        page = client.get("/interactions", params=parameters).raise_for_status().json()
        scores |= {(item["input_text"], item["output_text"]): item["quality_score"] for item in page["items"]}
        cursor = page["next_cursor"]
        if cursor is None:
            break
    labelled = [(scores[pair], e.keep) for e in sample if (pair := (e.input_text, e.output_text)) in scores]
    kept = [score for score, keep in labelled if keep]
    rejected = [score for score, keep in labelled if not keep]
    wins = sum((k > r) + 0.5 * (k == r) for k in kept for r in rejected)
    return wins / (len(kept) * len(rejected))


def show_recall(stack: Stack, client: httpx.Client) -> None:
    """A few questions, what comes back, and why."""
    title(stack, "3 · Recall: what matters for the next prompt, with reasons")
    questions = _questions()
    found = 0
    times = []
    for number, question in enumerate(questions):
        memories, seconds = _ask(client, question)
        times.append(seconds)
        hit = any(question["expect_substring"].lower() in memory["content"].lower() for memory in memories)
        found += hit
        if number >= _SHOWN:
            continue
        mark = "[green]✓[/]" if hit else "[yellow]·[/]"
        stack.console.print(f"  {mark} [bold]{question['user_id']}[/]: {escape(question['query'])}")
        for memory in memories[:1]:
            stack.console.print(f"      {escape(_one_line(memory['content'], 110))}")
            stack.console.print(
                f"      [dim]{memory['relevance_score']:.2f} · {escape(memory['explain']['reason'])}[/]"
            )
    middle = sorted(times)[len(times) // 2]
    stack.console.print(
        f"  {found} of {len(questions)} answers stand among the first three memories; median {1000 * middle:.0f} ms."
    )


def show_topics(stack: Stack, client: httpx.Client) -> None:
    """What the month was about, as the background worker clusters it."""
    client.post("/topics/refresh").raise_for_status()
    begun = time.monotonic()
    while time.monotonic() - begun < _TOPICS_SECONDS:
        topics = client.get("/topics").raise_for_status().json()
        if topics["items"]:
            labels = [f"{topic['label']} ({topic['interactions']})" for topic in topics["items"][:_SHOWN]]
            stack.console.print(f"  {topics['total']} topics, the largest: [italic]{escape('; '.join(labels))}[/]")
            return
        time.sleep(0.3)
    stack.console.print(f"  No topics yet: {topics['note']}", style="dim")


def _one_line(text: str, width: int = 90) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"
